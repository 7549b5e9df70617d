import {
  Configuration,
  DeliveriesApi,
  DeliveryStatus,
  ErrorReplyFromJSON,
  EventsApi,
  ResponseError,
  WebhooksApi,
} from './generated/index';

const { URL: basePath = '', RECEIVER = '', USER_ID = '', DEVELOPER_TOKEN = '', SERVICE_TOKEN = '' } = process.env;
const developer = new Configuration({ basePath, accessToken: DEVELOPER_TOKEN });
const webhooks = new WebhooksApi(developer);
const deliveriesApi = new DeliveriesApi(developer);
const eventsApi = new EventsApi(new Configuration({ basePath, accessToken: SERVICE_TOKEN }));

void main();

async function main(): Promise<void> {
  const webhook = await webhooks.createWebhook({ createWebhookRequest: { url: RECEIVER, events: new Set(['order.created']) } });
  const event = { eventType: 'order.created', audience: { userIds: new Set([USER_ID]) }, data: { order_id: 'order_1' } };
  const one = await eventsApi.publishEvent({ publishEventRequest: event });
  const events = [event, { ...event, eventType: 'order.unheard_of' }];
  const batch = await eventsApi.publishEvents({ publishEventsRequest: { events } });
  const deliveries = await delivered(webhook.id);
  const retried = await deliveriesApi.retryDelivery({ deliveryId: deliveries[0]?.id ?? '' });
  await webhooks.deleteWebhook({ webhookId: webhook.id });
  const error = await webhooks.getWebhook({ webhookId: webhook.id }).then(
    () => undefined,
    async (refused: ResponseError) => ErrorReplyFromJSON(await refused.response.json()).error,
  );

  console.log(
    `published to ${one.deliveries}, batch ${batch.accepted} of ${batch.results.length}, refused for ${batch.results[1]?.error?.reason}, ` +
      `delivered ${deliveries.length}, then ${retried.status}, then ${error?.code} for ${error?.reason}`,
  );
}

async function delivered(webhookId: string) {
  for (;;) {
    const page = await deliveriesApi.listDeliveries({ webhookId: [webhookId] });
    if (page.deliveries.every(({ status }) => status === DeliveryStatus.DELIVERY_STATUS_DELIVERED)) return page.deliveries;
  }
}
