package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	homechef "homechef.example/client/generated"
)

var ctx = context.Background()

func client(token string) *homechef.APIClient {
	settings := homechef.NewConfiguration()
	settings.Servers = homechef.ServerConfigurations{{URL: os.Getenv("URL")}}
	settings.AddDefaultHeader("Authorization", "Bearer "+os.Getenv(token))
	return homechef.NewAPIClient(settings)
}

func event(eventType string) homechef.PublishEventRequest {
	audience := homechef.NewAudience()
	audience.SetUserIds([]string{os.Getenv("USER_ID")})
	request := homechef.NewPublishEventRequest(eventType, *audience)
	request.SetData(map[string]any{"order_id": "order_1"})
	return *request
}

func must[T any](value T, _ any, err error) T {
	var refused *homechef.GenericOpenAPIError
	if errors.As(err, &refused) {
		log.Fatal(string(refused.Body()))
	}
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	developer, service := client("DEVELOPER_TOKEN"), client("SERVICE_TOKEN")
	wanted := homechef.NewCreateWebhookRequest(os.Getenv("RECEIVER"), []string{"order.created"})
	webhook := must(developer.WebhooksAPI.CreateWebhook(ctx).CreateWebhookRequest(*wanted).Execute())
	one := must(service.EventsAPI.PublishEvent(ctx).PublishEventRequest(event("order.created")).Execute())
	two := homechef.NewPublishEventsRequest([]homechef.PublishEventRequest{event("order.created"), event("order.unheard_of")})
	batch := must(service.EventsAPI.PublishEvents(ctx).PublishEventsRequest(*two).Execute())
	deliveries := delivered(developer, webhook.GetId())
	retried := must(developer.DeliveriesAPI.RetryDelivery(ctx, deliveries[0].GetId()).Execute())
	if _, err := developer.WebhooksAPI.DeleteWebhook(ctx, webhook.GetId()).Execute(); err != nil {
		log.Fatal(err)
	}
	_, _, err := developer.WebhooksAPI.GetWebhook(ctx, webhook.GetId()).Execute()
	var refused *homechef.GenericOpenAPIError
	if !errors.As(err, &refused) {
		log.Fatal(err)
	}
	reply := refused.Model().(homechef.ErrorReply)
	refusal := batch.Results[1].GetError()
	fmt.Printf("published to %d, batch %d of %d, refused for %s, delivered %d, then %s, then %s for %s\n",
		one.Deliveries, batch.Accepted, len(batch.Results), refusal.Reason,
		len(deliveries), retried.Status, reply.Error.Code, reply.Error.Reason)
}

func delivered(developer *homechef.APIClient, webhookId string) []homechef.Delivery {
	for {
		page := must(developer.DeliveriesAPI.ListDeliveries(ctx).WebhookId([]string{webhookId}).Execute())
		waiting := 0
		for _, delivery := range page.Deliveries {
			if delivery.Status != homechef.DELIVERY_STATUS_DELIVERED {
				waiting++
			}
		}
		if waiting == 0 {
			return page.Deliveries
		}
	}
}
