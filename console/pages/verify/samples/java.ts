// Verification in Java.
import type { Sample } from './sample.ts';

export const java: Sample = {
  key: 'java',
  label: 'Java',
  install: `<dependency>
  <groupId>com.standardwebhooks</groupId>
  <artifactId>standardwebhooks</artifactId>
  <version>1.1.0</version>
</dependency>`,
  file: 'Receiver.java',
  code: `import com.standardwebhooks.Webhook;
import com.standardwebhooks.exceptions.WebhookVerificationException;
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.net.http.HttpHeaders;
import java.nio.charset.StandardCharsets;

public class Receiver {
  public static void main(String[] args) throws Exception {
    Webhook webhook = new Webhook(System.getenv("HOMECHEF_WEBHOOK_SECRET")); // whsec_…
    HttpServer server = HttpServer.create(new InetSocketAddress(3000), 0);
    server.createContext("/webhooks/homechef", exchange -> {
      String body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
      HttpHeaders headers = HttpHeaders.of(exchange.getRequestHeaders(), (name, value) -> true);
      int status = 204;
      try {
        // Reads webhook-id, webhook-timestamp and webhook-signature; throws unless they fit the body.
        webhook.verify(body, headers);
        System.out.println(body);
      } catch (WebhookVerificationException exception) {
        status = 401;
      }
      exchange.sendResponseHeaders(status, -1);
      exchange.close();
    });
    server.start();
  }
}
`,
};
