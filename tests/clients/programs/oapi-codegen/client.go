package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	homechef "homechef.example/client/generated"
)

var ctx = context.Background()

func client(token string) *homechef.ClientWithResponses {
	authorize := func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+os.Getenv(token))
		return nil
	}
	return must(homechef.NewClientWithResponses(os.Getenv("URL"), homechef.WithRequestEditorFn(authorize)))
}

func event(eventType string) homechef.PublishEventRequest {
	users := []string{os.Getenv("USER_ID")}
	data := map[string]any{"order_id": "order_1"}
	return homechef.PublishEventRequest{EventType: eventType, Audience: homechef.Audience{UserIds: &users}, Data: &data}
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	developer, service := client("DEVELOPER_TOKEN"), client("SERVICE_TOKEN")
	wanted := homechef.CreateWebhookRequest{Url: os.Getenv("RECEIVER"), Events: []string{"order.created"}}
	webhook := must(developer.CreateWebhookWithResponse(ctx, nil, wanted)).JSON201
	one := must(service.PublishEventWithResponse(ctx, nil, event("order.created"))).JSON202
	two := homechef.PublishEventsRequest{Events: []homechef.PublishEventRequest{event("order.created"), event("order.unheard_of")}}
	batch := must(service.PublishEventsWithResponse(ctx, nil, two)).JSON202
	deliveries := delivered(developer, webhook.Id)
	retried := must(developer.RetryDeliveryWithResponse(ctx, deliveries[0].Id, nil, homechef.RetryDeliveryJSONRequestBody{})).JSON202
	must(developer.DeleteWebhookWithResponse(ctx, webhook.Id, nil))
	refused := must(developer.GetWebhookWithResponse(ctx, webhook.Id)).JSON404
	fmt.Printf("published to %d, batch %d of %d, refused for %s, delivered %d, then %s, then %s for %s\n",
		one.Deliveries, batch.Accepted, len(batch.Results), batch.Results[1].Error.Reason,
		len(deliveries), retried.Status, refused.Error.Code, refused.Error.Reason)
}

func delivered(developer *homechef.ClientWithResponses, webhookId string) []homechef.Delivery {
	for {
		page := must(developer.ListDeliveriesWithResponse(ctx, &homechef.ListDeliveriesParams{WebhookId: &[]string{webhookId}})).JSON200
		waiting := 0
		for _, delivery := range page.Deliveries {
			if delivery.Status != homechef.DELIVERYSTATUSDELIVERED {
				waiting++
			}
		}
		if waiting == 0 {
			return page.Deliveries
		}
	}
}
