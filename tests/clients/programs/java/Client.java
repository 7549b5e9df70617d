import java.util.List;
import java.util.Map;
import java.util.Set;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.DeliveriesApi;
import org.openapitools.client.api.EventsApi;
import org.openapitools.client.api.WebhooksApi;
import org.openapitools.client.model.Audience;
import org.openapitools.client.model.CreateWebhookRequest;
import org.openapitools.client.model.Delivery;
import org.openapitools.client.model.DeliveryStatus;
import org.openapitools.client.model.ErrorReply;
import org.openapitools.client.model.PublishEventRequest;
import org.openapitools.client.model.PublishEventsRequest;

public final class Client {
    private static final DeliveriesApi DELIVERIES = new DeliveriesApi(client("DEVELOPER_TOKEN"));

    public static void main(String[] args) throws Exception {
        var webhooks = new WebhooksApi(client("DEVELOPER_TOKEN"));
        var eventsApi = new EventsApi(client("SERVICE_TOKEN"));
        var wanted = new CreateWebhookRequest().url(System.getenv("RECEIVER")).events(Set.of("order.created"));
        var webhook = webhooks.createWebhook(wanted, null);
        var one = eventsApi.publishEvent(event("order.created"), null);
        var two = new PublishEventsRequest().events(List.of(event("order.created"), event("order.unheard_of")));
        var batch = eventsApi.publishEvents(two, null);
        var deliveries = delivered(webhook.getId());
        var retried = DELIVERIES.retryDelivery(deliveries.get(0).getId(), null, null);
        webhooks.deleteWebhook(webhook.getId(), null, null);
        try {
            webhooks.getWebhook(webhook.getId());
        } catch (ApiException refused) {
            var error = ErrorReply.fromJson(refused.getResponseBody()).getError();
            System.out.printf(
                "published to %d, batch %d of %d, refused for %s, delivered %d, then %s, then %s for %s%n",
                one.getDeliveries(), batch.getAccepted(), batch.getResults().size(), batch.getResults().get(1).getError().getReason(),
                deliveries.size(), retried.getStatus(), error.getCode(), error.getReason());
        }
        // The HTTP client's threads would keep the process for a minute.
        System.exit(0);
    }

    private static ApiClient client(String token) {
        var client = new ApiClient().setBasePath(System.getenv("URL"));
        client.setBearerToken(System.getenv(token));
        return client;
    }

    private static PublishEventRequest event(String type) {
        var audience = new Audience().userIds(Set.of(System.getenv("USER_ID")));
        return new PublishEventRequest().eventType(type).audience(audience).data(Map.of("order_id", "order_1"));
    }

    private static List<Delivery> delivered(String webhookId) throws ApiException {
        for (;;) {
            var page = DELIVERIES.listDeliveries(null, List.of(webhookId), null, null, null, null, null, null, null, null, null, null, null).getDeliveries();
            if (page.stream().allMatch(delivery -> delivery.getStatus() == DeliveryStatus.DELIVERY_STATUS_DELIVERED)) return page;
        }
    }
}
