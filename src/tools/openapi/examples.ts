// What requests and answers look like, by RPC; a test holds every example against the schema it stands beside.
import { eventTypes } from '../../domain/event-types.ts';
import type { DocumentedType } from '../../domain/event-types.ts';

const WEBHOOK_ID = 'webhook_01hm5w0qs8f4e2b6d9c1a7g3h5';
const EVENT_ID = 'event_01hm5w9x2k7m4n8p1q3r5s6t7v';
const DELIVERY_ID = 'delivery_01hm5w9x2m3n5p7q9r1s2t4v6w';
const CREATED_AT = '2024-01-15T10:00:00.000Z';
const SENT_AT = '2024-01-15T10:30:00.120Z';

const orderCreated = eventTypes[0] as DocumentedType;

const orderCreatedType = {
  name: orderCreated.name,
  description: orderCreated.description,
  sample: orderCreated.sample,
  schema: orderCreated.schema,
  validation: 'off',
  default_priority: orderCreated.defaultPriority,
  deprecated: false,
  schema_version: 1,
  documented: true,
  created_at: CREATED_AT,
  updated_at: CREATED_AT,
};

const kitchenOpened = {
  name: 'kitchen.opened',
  description: 'A chef begins to take orders.',
  sample: { chef_id: 'chef_c9f0f895' },
  schema: { type: 'object', properties: { chef_id: { type: 'string' } }, required: ['chef_id'] },
  validation: 'warn',
};
const kitchenOpenedType = {
  ...orderCreatedType,
  ...kitchenOpened,
  documented: false,
};

/** The body of a webhook request for an event of a type. */
export function deliveryBodyExample(type: DocumentedType): object {
  return {
    event: type.name,
    data: type.sample,
    timestamp: '2024-01-15T10:30:00.000Z',
    webhook_id: WEBHOOK_ID,
    delivery_id: DELIVERY_ID,
  };
}

const webhook = {
  id: WEBHOOK_ID,
  user_id: 'user123',
  url: 'https://hooks.example.com/homechef',
  events: ['order.created', 'order.completed'],
  description: 'Kitchen display',
  retry_policy: { max_retries: 3, retry_delay: 60, timeout: 30 },
  is_active: true,
  scope: 'user',
  secret_hint: 'Zm8=',
  custom_headers: {},
  rate_limit: 0,
  health: { consecutive_failures: 0, disabled_reason: '', held: 0, paused_reason: '' },
  created_at: CREATED_AT,
  updated_at: CREATED_AT,
  etag: 'r1',
  paused: false,
  release_id: '',
  filter: '$.total_amount > 50',
  ordering: 'none',
  ordering_gap: 'wait',
  signatures: ['hmac'],
  fields: [],
  on_failing: 'disable',
};
const serviceKeys = {
  keys: [
    {
      id: 'key_01hm5w0qs8f4e2b6d9c1a7g3h5',
      public_key: 'whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=',
      created_at: CREATED_AT,
    },
  ],
};
const replayFilter = {
  statuses: ['failed', 'cancelled'],
  event_types: [],
  since: '2024-01-14T20:00:00.000Z',
  error_codes: [],
  http_statuses: [],
  include_missing: false,
};
const replay = {
  ...replayFilter,
  id: 'replay_01hm6rk2w8a1b2c3d4e5f6g7h8',
  webhook_id: WEBHOOK_ID,
  state: 'running',
  reason: '',
  rate: 50,
  matched: 4012,
  matched_is_lower_bound: false,
  released: 0,
  delivered: 0,
  failed: 0,
  cancelled: 0,
  created_at: CREATED_AT,
};
const RELEASE_ID = 'release_01hm6rk2w8a1b2c3d4e5f6g7h8';
const holding = { ...webhook.health, held: 4000, oldest_held_at: CREATED_AT };
const EARLIER_SECRET = 'whsec_Qm9n8y1sZ0s2y6cT5oJd4m3kq1fV7xH9bL0wRtYuIoE=';
const withSecret = { ...webhook, secret: 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD3kfWqZlKZm8=' };

const attempt = {
  number: 1,
  started_at: SENT_AT,
  duration_ms: 48,
  http_status: 500,
  response: 'Internal Server Error',
  response_truncated: false,
  error_code: 'http_status',
  error_message: 'The receiver answered with a status other than 2xx.',
  trigger: 'automatic',
  request_headers: [
    { name: 'host', value: 'example.com' },
    { name: 'content-type', value: 'application/json' },
    { name: 'webhook-id', value: DELIVERY_ID },
    { name: 'webhook-signature', value: '********' },
  ],
  response_headers: [
    { name: 'Server', value: 'nginx' },
    { name: 'X-Request-Id', value: '6f1c4f4e-7d0e-4d52-9c39-0d1a0a2f7c11' },
  ],
  remote_address: '93.184.215.14',
  tls_version: 'TLSv1.3',
};

const delivery = {
  id: DELIVERY_ID,
  webhook_id: WEBHOOK_ID,
  event_id: EVENT_ID,
  event_type: 'order.created',
  status: 'retrying',
  http_status: 500,
  response: 'Internal Server Error',
  attempt_count: 1,
  next_retry_at: '2024-01-15T10:31:03.000Z',
  error_code: 'http_status',
  error_message: 'The receiver answered with a status other than 2xx.',
  created_at: '2024-01-15T10:30:00.000Z',
  updated_at: SENT_AT,
};

const cancelled = {
  id: DELIVERY_ID,
  webhook_id: WEBHOOK_ID,
  event_id: EVENT_ID,
  event_type: 'order.created',
  status: 'cancelled',
  attempt_count: 0,
  created_at: '2024-01-15T10:30:00.000Z',
  updated_at: SENT_AT,
  cancel_reason: 'caller',
};

const publishedEvent = {
  id: EVENT_ID,
  event_type: 'order.created',
  publisher: 'order-service',
  occurred_at: '2024-01-15T10:30:00.000Z',
  created_at: '2024-01-15T10:30:00.000Z',
  deliveries: 1,
  broadcast: false,
};

const published = { event_id: EVENT_ID, deliveries: 2, duplicate: false };
const publish = {
  event_type: 'order.created',
  data: orderCreated.sample,
  audience: { user_ids: ['user123'] },
  idempotency_key: 'order_8f14e45f-created',
};

const counts = { total: 120, pending: 1, retrying: 2, delivered: 115, failed: 2, cancelled: 0 };

const diagnosis = {
  verdict: 'failed',
  steps: [
    { step: 'url', result: 'ok', message: 'The service accepts the URL.', advice: '', duration_ms: 0 },
    {
      step: 'resolve',
      result: 'ok',
      message: 'hooks.example.com stands for 203.0.113.7, which webhooks may reach.',
      advice: '',
      duration_ms: 12,
    },
    { step: 'connect', result: 'ok', message: '203.0.113.7 can be reached.', advice: '', duration_ms: 21 },
    {
      step: 'tls',
      result: 'failed',
      message: 'The certificate has expired.',
      advice: 'Renew the certificate of the receiver.',
      duration_ms: 44,
    },
  ],
};

const explanation = {
  verdict: 'not_owed',
  summary: 'The event is tip.received; the webhook is subscribed to order.created.',
  rules: [
    { code: 'registered', result: 'passed', message: 'The webhook is older than the event.' },
    { code: 'audience', result: 'passed', message: 'The event concerns the owner of the webhook.' },
    { code: 'active', result: 'passed', message: 'The webhook is active.' },
    {
      code: 'event_type',
      result: 'stopped_here',
      message: 'The event is tip.received; the webhook is subscribed to order.created.',
    },
    { code: 'filter', result: 'not_reached', message: 'The payload passes the filter of the webhook, if it has one.' },
    { code: 'matched_then', result: 'not_reached', message: 'The webhook matched when the event was published.' },
  ],
};
const explained = { ...explanation, webhook_id: WEBHOOK_ID, event_id: EVENT_ID, delivery_id: '' };

export interface Example {
  readonly request?: object;
  readonly answer?: object;
}

export const examples: Readonly<Record<string, Example>> = {
  ListWebhooks: { answer: { webhooks: [webhook], page: 1, limit: 20, total: 1, total_is_exact: true, next_page_token: '' } },
  CreateWebhook: {
    request: {
      url: webhook.url,
      events: webhook.events,
      description: webhook.description,
      retry_policy: { max_retries: 3, retry_delay: 60 },
    },
    answer: withSecret,
  },
  GetWebhook: { answer: webhook },
  UpdateWebhook: { request: { events: ['order.created'], is_active: true }, answer: { ...webhook, events: ['order.created'] } },
  TestWebhook: {
    request: { event_type: 'order.created' },
    answer: {
      delivery_id: DELIVERY_ID,
      success: true,
      attempt: {
        number: 1,
        started_at: SENT_AT,
        duration_ms: 31,
        http_status: 200,
        response: 'ok',
        response_truncated: false,
        trigger: 'test',
        request_headers: attempt.request_headers,
        response_headers: attempt.response_headers,
        remote_address: attempt.remote_address,
        tls_version: attempt.tls_version,
      },
    },
  },
  TestFilter: {
    request: { filter: '$.total_amount >> 50', data: { total_amount: 51 } },
    answer: {
      match: false,
      error: 'at character 17: ">" stands where a path such as $.city, a value, or a parenthesis is expected',
      position: 17,
    },
  },
  DiagnoseWebhook: { request: {}, answer: diagnosis },
  DiagnoseUrl: { request: { url: webhook.url }, answer: diagnosis },
  ListServiceKeys: { answer: serviceKeys },
  RotateServiceKey: { request: { overlap_hours: 168 }, answer: serviceKeys },
  RotateSecret: { request: { overlap_hours: 24 }, answer: { ...withSecret, rotation_ends_at: '2024-01-16T10:30:00.000Z' } },
  CompleteRotation: { request: {}, answer: webhook },
  CancelRotation: { request: {}, answer: webhook },
  PauseWebhook: { request: {}, answer: { ...webhook, paused: true, health: holding } },
  ResumeWebhook: { request: { rate: 50 }, answer: { ...webhook, release_id: RELEASE_ID, health: holding } },
  CreateReplay: { request: { statuses: ['failed', 'cancelled'], since: replayFilter.since, rate: 50 }, answer: replay },
  CreateReplays: {
    request: { user_id: 'user123', since: replayFilter.since, rate: 50 },
    answer: { replays: [replay], skipped: [], next_page_token: '' },
  },
  ListReplays: { answer: { replays: [replay], limit: 20, next_page_token: '' } },
  GetReplay: { answer: { ...replay, released: 850, delivered: 846, failed: 2 } },
  PauseReplay: { request: {}, answer: { ...replay, state: 'paused', released: 850, delivered: 848, failed: 2 } },
  ResumeReplay: { request: { rate: 100 }, answer: { ...replay, rate: 100, released: 850, delivered: 848, failed: 2 } },
  CancelReplay: {
    request: {},
    answer: {
      ...replay,
      state: 'cancelled',
      reason: 'cancelled_by_caller',
      released: 850,
      delivered: 848,
      failed: 2,
      ended_at: CREATED_AT,
    },
  },
  GetSecret: {
    answer: { secret: withSecret.secret, previous: [{ secret: EARLIER_SECRET, expires_at: '2024-01-16T10:30:00.000Z' }] },
  },
  GetWebhookHistory: {
    answer: {
      changes: [
        {
          at: '2024-01-15T10:30:00.000Z',
          by: 'system',
          action: 'disabled',
          fields: [
            { field: 'is_active', old: true, new: false },
            { field: 'disabled_reason', old: null, new: 'gone' },
          ],
          reason: 'gone',
        },
        {
          at: CREATED_AT,
          by: 'user123',
          action: 'updated',
          fields: [{ field: 'rate_limit', old: 0, new: 5 }],
          reason: '',
        },
      ],
      next_page_token: '',
    },
  },
  GetWebhookStats: {
    answer: {
      webhook_id: WEBHOOK_ID,
      since: '2024-01-14T10:30:00.000Z',
      until: '2024-01-15T10:30:00.000Z',
      counts,
      success_rate: 0.983,
      latency: { p50_ms: 41, p95_ms: 180, p99_ms: 900 },
      buckets: [{ start: '2024-01-14T10:30:00.000Z', counts }],
      bucket_seconds: 86_400,
      never_tried: 0,
    },
  },
  GetOverview: {
    answer: {
      since: '2024-01-14T10:00:00.000Z',
      until: '2024-01-15T10:30:00.000Z',
      counts,
      success_rate: 0.983,
      latency: { p50_ms: 41, p95_ms: 180, p99_ms: 900 },
      buckets: [{ start: '2024-01-14T10:00:00.000Z', counts }],
      bucket_seconds: 3600,
      causes: [{ cause: 'http_503', deliveries: 2 }],
      worst: [
        {
          webhook,
          failed: 1,
          retrying: 1,
          cause: { cause: 'http_503', deliveries: 2 },
          oldest_retrying_at: '2024-01-15T10:12:00.000Z',
        },
      ],
      webhooks: { total: 1, active: 1, failing: 1, disabled: 0 },
      never_tried: 0,
      failures: [
        {
          host: 'developer.example.com',
          cause: { cause: 'http_503', deliveries: 2 },
          webhooks: 1,
          users: 1,
          failing_since: '2024-01-15T10:12:00.000Z',
        },
      ],
    },
  },
  ListEventTypes: { answer: { events: [orderCreatedType] } },
  GetEventType: { answer: orderCreatedType },
  CreateEventType: { request: kitchenOpened, answer: kitchenOpenedType },
  UpdateEventType: {
    request: { validation: 'strict' },
    answer: { ...kitchenOpenedType, validation: 'strict' },
  },
  ListEvents: { answer: { events: [publishedEvent], limit: 20, next_page_token: '' } },
  GetEvent: {
    answer: {
      ...publishedEvent,
      data_json: JSON.stringify(orderCreated.sample),
      counts: { total: 1, pending: 0, retrying: 1, delivered: 0, failed: 0, cancelled: 0 },
      sent_to: [{ delivery_id: DELIVERY_ID, webhook_id: WEBHOOK_ID, user_id: 'user123', status: 'retrying' }],
      user_ids: ['user123'],
    },
  },
  ListDeliveries: {
    answer: { deliveries: [delivery], page: 1, limit: 10, total: 1, total_is_exact: true, next_page_token: '' },
  },
  GetDelivery: {
    answer: {
      ...delivery,
      body: JSON.stringify(deliveryBodyExample(orderCreated)),
      attempts: [attempt],
    },
  },
  ExplainDelivery: { answer: explained },
  ExplainEvent: { answer: { ...explanation, webhooks: [explained] } },
  RetryDelivery: { request: {}, answer: delivery },
  CancelDelivery: { request: {}, answer: cancelled },
  PublishEvent: { request: publish, answer: published },
  PublishEvents: {
    request: { events: [publish, { event_type: 'order.unknown', data: {}, audience: { broadcast: true } }] },
    answer: {
      results: [
        { published },
        {
          error: {
            code: 'invalid_argument',
            reason: 'event_type_unknown',
            message: 'events[1].event_type: is not in the catalogue',
            field: 'events[1].event_type',
          },
        },
      ],
      accepted: 1,
      rejected: 1,
    },
  },
};
