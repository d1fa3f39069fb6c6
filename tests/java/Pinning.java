import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.text.SimpleDateFormat;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.TimeZone;
import javax.net.ssl.SSLPeerUnverifiedException;
import okhttp3.CertificatePinner;
import okhttp3.internal.tls.BasicCertificateChainCleaner;
import okhttp3.internal.tls.BasicTrustRootIndex;

/**
 * Answers cases from standard input with the real implementations, a line each, tab-separated, texts and DER in base64:
 *
 *   pin    host  pattern,pin[,pattern,pin...]  certificate[,certificate...]   CertificatePinner.check
 *   clean  -     root[,root...]                certificate[,certificate...]   BasicCertificateChainCleaner.clean
 *   date   zone  text                          -                              SimpleDateFormat as Android's config uses it
 *   key    -     -                             certificate                    getPublicKey().getEncoded()
 */
public final class Pinning {
  private static final CertificateFactory X509;

  static {
    try {
      X509 = CertificateFactory.getInstance("X.509");
    } catch (java.security.cert.CertificateException e) {
      throw new AssertionError(e);
    }
  }

  public static void main(String[] arguments) throws Exception {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    StringBuilder out = new StringBuilder();
    for (String line; (line = in.readLine()) != null; ) {
      out.append(answer(line.split("\t", -1))).append('\n');
    }
    System.out.print(out);
  }

  private static String answer(String[] parts) throws Exception {
    switch (parts[0]) {
      case "pin":
        return pin(text(parts[1]), parts[2].split(",", -1), certificates(parts[3]));
      case "clean":
        return clean(certificates(parts[2]), certificates(parts[3]));
      case "date":
        return date(parts[1], text(parts[2]));
      case "key":
        try {
          return Base64.getEncoder().encodeToString(certificates(parts[3]).get(0).getPublicKey().getEncoded());
        } catch (java.security.cert.CertificateException e) {
          return "error";
        }
      default:
        throw new IllegalArgumentException(parts[0]);
    }
  }

  private static String pin(String host, String[] pins, List<Certificate> chain) {
    CertificatePinner pinner;
    try {
      CertificatePinner.Builder builder = new CertificatePinner.Builder();
      for (int i = 0; i + 1 < pins.length; i += 2) {
        builder.add(text(pins[i]), text(pins[i + 1]));
      }
      pinner = builder.build();
    } catch (RuntimeException e) {
      return "rejected";
    }
    try {
      pinner.check(host, chain);
    } catch (SSLPeerUnverifiedException e) {
      return "no";
    }
    // Without a certificate nothing can match: what passes then is not pinned.
    try {
      pinner.check(host, new ArrayList<Certificate>());
      return "unpinned";
    } catch (SSLPeerUnverifiedException e) {
      return "yes";
    }
  }

  private static String clean(List<Certificate> roots, List<Certificate> chain) {
    X509Certificate[] anchors = roots.toArray(new X509Certificate[0]);
    try {
      List<Certificate> cleaned =
          new BasicCertificateChainCleaner(new BasicTrustRootIndex(anchors)).clean(chain, "host");
      StringBuilder out = new StringBuilder();
      for (Certificate certificate : cleaned) {
        out.append(out.length() > 0 ? "," : "").append(Base64.getEncoder().encodeToString(certificate.getEncoded()));
      }
      return out.toString();
    } catch (SSLPeerUnverifiedException | java.security.cert.CertificateEncodingException e) {
      return "";
    }
  }

  private static String date(String zone, String text) {
    SimpleDateFormat format = new SimpleDateFormat("yyyy-MM-dd");
    format.setLenient(false);
    format.setTimeZone(TimeZone.getTimeZone(zone));
    try {
      return Long.toString(format.parse(text).getTime());
    } catch (java.text.ParseException e) {
      return "error";
    }
  }

  private static String text(String base64) {
    return new String(Base64.getDecoder().decode(base64), StandardCharsets.UTF_8);
  }

  private static List<Certificate> certificates(String list) throws java.security.cert.CertificateException {
    List<Certificate> found = new ArrayList<>();
    for (String der : list.split(",")) {
      if (!der.isEmpty()) {
        found.add(X509.generateCertificate(new ByteArrayInputStream(Base64.getDecoder().decode(der))));
      }
    }
    return found;
  }
}
