import java.io.IOException;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertificateExpiredException;
import java.security.cert.CertificateNotYetValidException;
import java.util.function.BiConsumer;
import javax.net.ssl.SSLHandshakeException;
import javax.net.ssl.SSLPeerUnverifiedException;
import okhttp3.Interceptor;
import okhttp3.Response;

/**
 * Counts the result of each pin check, for OkHttp: new OkHttpClient.Builder().addInterceptor(new PinCounter(count)).
 * The counter is given the host and the result; send its sums now and then, by a host that is not pinned.
 */
public final class PinCounter implements Interceptor {
    private final BiConsumer<String, String> count;

    public PinCounter(BiConsumer<String, String> count) {
        this.count = count;
    }

    @Override
    public Response intercept(Chain chain) throws IOException {
        String host = chain.request().url().host();
        try {
            Response response = chain.proceed(chain.request());
            if (response.handshake() != null) {
                count.accept(host, "success");
            }
            return response;
        } catch (SSLPeerUnverifiedException | SSLHandshakeException error) {
            count.accept(host, reason(error));
            throw error;
        }
    }

    /** As the contract names it. OkHttp tells a pin from a host name by its message only. */
    static String reason(Exception error) {
        String message = String.valueOf(error.getMessage());
        if (message.startsWith("Certificate pinning failure!")) {
            return "pin";
        }
        if (message.contains("not verified")) {
            return "name";
        }
        String found = "other"; // the dates are the innermost cause, below a path that does not validate
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            if (cause instanceof CertificateExpiredException) {
                return "expired";
            }
            if (cause instanceof CertificateNotYetValidException) {
                return "not_yet_valid";
            }
            if (cause instanceof CertPathValidatorException || String.valueOf(cause.getMessage()).contains("PKIX path")) {
                found = "trust";
            }
        }
        return found;
    }
}
