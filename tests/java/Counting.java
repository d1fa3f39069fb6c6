import java.io.FileInputStream;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;
import okhttp3.CertificatePinner;
import okhttp3.OkHttpClient;
import okhttp3.Request;

/** Connects through PinCounter with OkHttp, and prints what it counts: url, file with the trusted CA, pin. */
public final class Counting {
  public static void main(String[] arguments) throws Exception {
    for (int i = 0; i < arguments.length; i += 3) {
      KeyStore roots = KeyStore.getInstance(KeyStore.getDefaultType());
      roots.load(null, null);
      try (FileInputStream file = new FileInputStream(arguments[i + 1])) {
        roots.setCertificateEntry("root", CertificateFactory.getInstance("X.509").generateCertificate(file));
      }
      TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
      trust.init(roots);
      SSLContext context = SSLContext.getInstance("TLS");
      context.init(null, trust.getTrustManagers(), null);
      OkHttpClient client =
          new OkHttpClient.Builder()
              .sslSocketFactory(context.getSocketFactory(), (X509TrustManager) trust.getTrustManagers()[0])
              .certificatePinner(new CertificatePinner.Builder().add("localhost", arguments[i + 2]).build())
              .addInterceptor(new PinCounter((host, result) -> System.out.println(host + " " + result)))
              .build();
      try {
        client.newCall(new Request.Builder().url(arguments[i]).build()).execute().close();
      } catch (java.io.IOException expected) {
        System.err.println(expected);
      }
      client.dispatcher().executorService().shutdown();
      client.connectionPool().evictAll();
    }
    System.exit(0);
  }
}
