import os

from openapi_client import (
    ApiClient, Audience, Configuration, CreateWebhookRequest, DeliveriesApi, Delivery, DeliveryStatus, ErrorReply, EventsApi,
    PublishEventRequest, PublishEventsRequest, WebhooksApi,
)
from openapi_client.exceptions import NotFoundException


def client(token: str) -> ApiClient:
    return ApiClient(Configuration(host=os.environ["URL"], access_token=os.environ[token]))


webhooks = WebhooksApi(client("DEVELOPER_TOKEN"))
deliveries_api = DeliveriesApi(client("DEVELOPER_TOKEN"))
events_api = EventsApi(client("SERVICE_TOKEN"))


def event(event_type: str) -> PublishEventRequest:
    audience = Audience(user_ids=[os.environ["USER_ID"]])
    return PublishEventRequest(event_type=event_type, audience=audience, data={"order_id": "order_1"})


def delivered(webhook_id: str) -> list[Delivery]:
    while True:
        page = deliveries_api.list_deliveries(webhook_id=[webhook_id])
        if all(delivery.status == DeliveryStatus.DELIVERY_STATUS_DELIVERED for delivery in page.deliveries):
            return page.deliveries


webhook = webhooks.create_webhook(CreateWebhookRequest(url=os.environ["RECEIVER"], events=["order.created"]))
one = events_api.publish_event(event("order.created"))
batch = events_api.publish_events(PublishEventsRequest(events=[event("order.created"), event("order.unheard_of")]))
deliveries = delivered(webhook.id)
retried = deliveries_api.retry_delivery(deliveries[0].id)
webhooks.delete_webhook(webhook.id)
try:
    webhooks.get_webhook(webhook.id)
except NotFoundException as refused:
    assert isinstance(refused.data, ErrorReply)
    error = refused.data.error
refusal = batch.results[1].error
assert refusal is not None
print(
    f"published to {one.deliveries}, batch {batch.accepted} of {len(batch.results)}, refused for {refusal.reason}, "
    f"delivered {len(deliveries)}, then {retried.status.value}, then {error.code} for {error.reason}"
)
