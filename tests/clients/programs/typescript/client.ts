import createClient from 'openapi-fetch';
import type { paths } from './schema.js';

const { URL: baseUrl = '', RECEIVER = '', USER_ID = '', DEVELOPER_TOKEN = '', SERVICE_TOKEN = '' } = process.env;
const as = (token: string) => createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });
const developer = as(DEVELOPER_TOKEN);
const service = as(SERVICE_TOKEN);

const webhook = must(await developer.POST('/api/v1/webhooks', { body: { url: RECEIVER, events: ['order.created'] } }));
const event = { event_type: 'order.created', audience: { user_ids: [USER_ID] }, data: { order_id: 'order_1' } };
const one = must(await service.POST('/api/v1/events', { body: event }));
const events = [event, { ...event, event_type: 'order.unheard_of' }];
const batch = must(await service.POST('/api/v1/events/batch', { body: { events } }));
const deliveries = await delivered();
const path = { delivery_id: deliveries[0]?.id ?? '' };
const retried = must(await developer.POST('/api/v1/webhooks/deliveries/{delivery_id}/retry', { params: { path } }));
const at = { params: { path: { webhook_id: webhook.id } } };
await developer.DELETE('/api/v1/webhooks/{webhook_id}', at);
const { error } = await developer.GET('/api/v1/webhooks/{webhook_id}', at);

console.log(
  `published to ${one.deliveries}, batch ${batch.accepted} of ${batch.results.length}, refused for ${batch.results[1]?.error?.reason}, ` +
    `delivered ${deliveries.length}, then ${retried.status}, then ${error?.error.code} for ${error?.error.reason}`,
);

async function delivered() {
  for (;;) {
    const query = { webhook_id: [webhook.id] };
    const page = must(await developer.GET('/api/v1/webhooks/deliveries', { params: { query } }));
    if (page.deliveries.every(({ status }) => status === 'delivered')) return page.deliveries;
  }
}

function must<T>({ data, error }: { data?: T; error?: unknown }): T {
  if (data === undefined) throw new Error(JSON.stringify(error));
  return data;
}
