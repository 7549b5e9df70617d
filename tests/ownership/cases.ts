// For every RPC: what it asks when it asks about a user's things, and what each kind of caller gets.
import { existsSync } from 'node:fs';
import type { JsonObject } from '@bufbuild/protobuf';
import type { CallerRole } from '../../src/security/tokens.ts';

/** A user's things, or ids of the same form that no user has. */
export interface Things {
  readonly userId: string;
  readonly webhookId: string;
  readonly eventId: string;
  readonly deliveryId: string;
  readonly replayId: string;
  /** Of lists in which these things come next. */
  readonly webhookPage: string;
  readonly deliveryPage: string;
  readonly eventPage: string;
  /** From before the delivery was made. */
  readonly cursor: string;
  /** Of the event, chosen by its publisher. */
  readonly idempotencyKey: string;
}

export interface Case {
  /** Each way of naming things is asked by itself. */
  readonly asks: readonly ((of: Things) => JsonObject)[];
  /** Ways that name whose things they are: a developer who names another user is refused, whether there is such a user or not. */
  readonly named?: readonly ((of: Things) => JsonObject)[];
  /** Null: every caller, without a token. */
  readonly roles: readonly CallerRole[] | null;
  /** What another user gets who has the role: never anything of these things. */
  readonly stranger:
    | 'ok'
    | 'invalid_argument field_invalid'
    | 'not_found not_found'
    | 'permission_denied role_not_allowed'
    | 'already_exists event_type_exists';
  /** What the owner gets of things as they are, where it is no success. */
  readonly owner?:
    | 'invalid_argument field_invalid'
    | 'failed_precondition rotation_not_running'
    | 'failed_precondition delivery_ended'
    | 'not_found not_found'
    | 'already_exists event_type_exists';
  /** What the owner's reply shows, and no other user's: a test that asks for nothing finds nothing. */
  readonly shows?: 'webhookId' | 'deliveryId' | 'eventId';
  /** What it shows is the caller's own in every role, unless a user is named. */
  readonly isOfCaller?: true;
  /** Once the owner has called, the thing is gone. */
  readonly destroys?: true;
}

const everyone: readonly CallerRole[] = ['developer', 'service', 'admin'];
const publishers: readonly CallerRole[] = ['service', 'admin'];

/** Who publishes the events of a user's things. */
export const PUBLISHER = 'order-service';

export const eventData = { order_id: 'o1' };
/** The very event that its publisher has already published; from any other publisher it is a new one. */
const event = (of: Things): JsonObject => ({
  event_type: 'order.created',
  data_json: Buffer.from(JSON.stringify(eventData)).toString('base64'),
  audience: { user_ids: ['alice'] },
  idempotency_key: of.idempotencyKey,
});

/** From before the event was published, as the temporary webhook that has the id of a real one. */
const eventCursor = (of: Things): string => `${of.cursor}-${of.webhookId.slice('webhook_'.length)}`;

const aboutWebhook = (more: JsonObject = {}): Case => ({
  asks: [(of) => ({ webhook_id: of.webhookId, ...more })],
  roles: everyone,
  stranger: 'not_found not_found',
});

const aboutDelivery: Case = {
  asks: [(of) => ({ delivery_id: of.deliveryId })],
  roles: everyone,
  stranger: 'not_found not_found',
  shows: 'deliveryId',
};

const aboutReplay: Case = {
  asks: [(of) => ({ webhook_id: of.webhookId, replay_id: of.replayId })],
  roles: everyone,
  stranger: 'not_found not_found',
  shows: 'webhookId',
};

export const cases: Readonly<Record<string, Case>> = {
  'homechef.webhook.v1.WebhookService/ListWebhooks': {
    asks: [(of) => ({ page_token: of.webhookPage })],
    named: [(of) => ({ user_id: of.userId })],
    roles: everyone,
    stranger: 'ok',
    shows: 'webhookId',
  },
  'homechef.webhook.v1.WebhookService/CreateWebhook': {
    asks: [(of) => ({ url: 'https://example.com/hook', events: ['order.created'], user_id: of.userId })],
    roles: everyone,
    stranger: 'permission_denied role_not_allowed',
  },
  'homechef.webhook.v1.WebhookService/GetWebhook': { ...aboutWebhook(), shows: 'webhookId' },
  'homechef.webhook.v1.WebhookService/UpdateWebhook': { ...aboutWebhook({ description: 'seized' }), shows: 'webhookId' },
  'homechef.webhook.v1.WebhookService/DeleteWebhook': { ...aboutWebhook(), destroys: true },
  'homechef.webhook.v1.WebhookService/TestWebhook': aboutWebhook(),
  'homechef.webhook.v1.WebhookService/TestFilter': {
    asks: [
      (of) => ({ webhook_id: of.webhookId, data_json: Buffer.from('{}').toString('base64') }),
      (of) => ({ webhook_id: of.webhookId, event_id: of.eventId }),
    ],
    roles: everyone,
    stranger: 'not_found not_found',
  },
  'homechef.webhook.v1.WebhookService/DiagnoseWebhook': aboutWebhook(),
  'homechef.webhook.v1.WebhookService/DiagnoseUrl': {
    asks: [() => ({ url: 'ftp://example.com/' })],
    roles: everyone,
    stranger: 'ok',
  },
  'homechef.webhook.v1.WebhookService/RotateSecret': { ...aboutWebhook(), shows: 'webhookId' },
  'homechef.webhook.v1.WebhookService/CompleteRotation': { ...aboutWebhook(), shows: 'webhookId' },
  'homechef.webhook.v1.WebhookService/CancelRotation': {
    ...aboutWebhook(),
    owner: 'failed_precondition rotation_not_running',
  },
  'homechef.webhook.v1.WebhookService/PauseWebhook': { ...aboutWebhook(), shows: 'webhookId' },
  'homechef.webhook.v1.WebhookService/ResumeWebhook': { ...aboutWebhook(), shows: 'webhookId' },
  'homechef.webhook.v1.WebhookService/GetSecret': { ...aboutWebhook(), roles: ['developer'] },
  'homechef.webhook.v1.WebhookService/GetWebhookHistory': aboutWebhook(),
  'homechef.webhook.v1.WebhookService/GetWebhookStats': { ...aboutWebhook(), shows: 'webhookId' },
  'homechef.webhook.v1.WebhookService/GetOverview': {
    asks: [() => ({})],
    named: [(of) => ({ user_id: of.userId })],
    roles: everyone,
    stranger: 'ok',
  },
  'homechef.webhook.v1.WebhookService/ListServiceKeys': { asks: [() => ({})], roles: everyone, stranger: 'ok' },
  // The keys of the service have no owner: what admins get of a rotation that cannot be.
  'homechef.webhook.v1.WebhookService/RotateServiceKey': {
    asks: [() => ({ overlap_hours: 721 })],
    roles: ['admin'],
    stranger: 'invalid_argument field_invalid',
    owner: 'invalid_argument field_invalid',
  },
  'homechef.webhook.v1.WebhookService/ListEventTypes': { asks: [() => ({})], roles: everyone, stranger: 'ok' },
  'homechef.webhook.v1.WebhookService/GetEventType': {
    asks: [() => ({ name: 'tip.received' })],
    roles: everyone,
    stranger: 'ok',
  },
  // The catalogue has no owner: what admins get of a type that there is, or is not.
  'homechef.webhook.v1.WebhookService/CreateEventType': {
    asks: [() => ({ name: 'tip.received' })],
    roles: ['admin'],
    stranger: 'already_exists event_type_exists',
    owner: 'already_exists event_type_exists',
  },
  'homechef.webhook.v1.WebhookService/UpdateEventType': {
    asks: [() => ({ name: 'no.such_type' })],
    roles: ['admin'],
    stranger: 'not_found not_found',
    owner: 'not_found not_found',
  },
  'homechef.webhook.v1.ReplayService/CreateReplay': { ...aboutWebhook({ dry_run: true }), shows: 'webhookId' },
  // Services and admins see everyone's webhooks, so there are no strangers among them: what is asked is who may ask.
  'homechef.webhook.v1.ReplayService/CreateReplays': {
    asks: [() => ({ http_statuses: [418], dry_run: true })],
    roles: publishers,
    stranger: 'ok',
  },
  'homechef.webhook.v1.ReplayService/ListReplays': aboutWebhook(),
  'homechef.webhook.v1.ReplayService/GetReplay': aboutReplay,
  'homechef.webhook.v1.ReplayService/PauseReplay': aboutReplay,
  'homechef.webhook.v1.ReplayService/ResumeReplay': aboutReplay,
  'homechef.webhook.v1.ReplayService/CancelReplay': aboutReplay,
  'homechef.webhook.v1.DeliveryService/ListDeliveries': {
    asks: [
      (of) => ({ webhook_id: of.webhookId }),
      (of) => ({ event_id: of.eventId }),
      (of) => ({ page_token: of.deliveryPage }),
    ],
    named: [(of) => ({ user_id: of.userId })],
    roles: everyone,
    stranger: 'ok',
    shows: 'deliveryId',
  },
  'homechef.webhook.v1.DeliveryService/GetDelivery': aboutDelivery,
  'homechef.webhook.v1.DeliveryService/ExplainDelivery': {
    asks: [
      (of) => ({ webhook_id: of.webhookId, event_id: of.eventId }),
      (of) => ({ webhook_id: of.webhookId, delivery_id: of.deliveryId }),
    ],
    roles: everyone,
    stranger: 'not_found not_found',
    shows: 'deliveryId',
  },
  'homechef.webhook.v1.DeliveryService/RetryDelivery': aboutDelivery,
  // It was delivered.
  'homechef.webhook.v1.DeliveryService/CancelDelivery': {
    asks: aboutDelivery.asks,
    roles: everyone,
    stranger: 'not_found not_found',
    owner: 'failed_precondition delivery_ended',
  },
  'homechef.webhook.v1.DeliveryService/WatchDeliveries': {
    asks: [(of) => ({ after: of.cursor, webhook_ids: [of.webhookId] }), (of) => ({ after: of.cursor, event_id: of.eventId })],
    named: [(of) => ({ after: of.cursor, user_id: of.userId, statuses: ['DELIVERY_STATUS_DELIVERED'] })],
    roles: everyone,
    stranger: 'ok',
    shows: 'deliveryId',
  },
  'homechef.webhook.v1.DeliveryService/WatchEvents': {
    asks: [(of) => ({ after: eventCursor(of) }), (of) => ({ after: eventCursor(of), event_types: ['order.created'] })],
    named: [(of) => ({ after: eventCursor(of), user_id: of.userId })],
    roles: everyone,
    stranger: 'ok',
    shows: 'eventId',
    isOfCaller: true,
  },
  'homechef.webhook.v1.EventService/PublishEvent': {
    asks: [event],
    roles: publishers,
    stranger: 'ok',
    shows: 'eventId',
  },
  'homechef.webhook.v1.EventService/PublishEvents': {
    asks: [(of) => ({ events: [event(of)] })],
    roles: publishers,
    stranger: 'ok',
    shows: 'eventId',
  },
  'homechef.webhook.v1.EventService/ListEvents': {
    asks: [(of) => ({ page_token: of.eventPage }), (of) => ({ user_id: of.userId })],
    named: [() => ({ publisher: PUBLISHER })],
    roles: publishers,
    stranger: 'ok',
    shows: 'eventId',
  },
  'homechef.webhook.v1.EventService/GetEvent': {
    asks: [(of) => ({ event_id: of.eventId })],
    roles: publishers,
    stranger: 'not_found not_found',
    shows: 'eventId',
  },
  'homechef.webhook.v1.EventService/PublishStream': {
    asks: [(of) => ({ event: event(of) })],
    roles: publishers,
    stranger: 'ok',
    shows: 'eventId',
  },
  'homechef.webhook.v1.EventService/ExplainEvent': {
    asks: [(of) => ({ event_id: of.eventId, user_id: of.userId })],
    roles: publishers,
    stranger: 'not_found not_found',
    shows: 'deliveryId',
  },
  'grpc.health.v1.Health/Check': { asks: [() => ({})], roles: null, stranger: 'ok' },
  'grpc.reflection.v1.ServerReflection/ServerReflectionInfo': {
    asks: [() => ({ list_services: '' })],
    roles: null,
    stranger: 'ok',
  },
  'grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo': {
    asks: [() => ({ list_services: '' })],
    roles: null,
    stranger: 'ok',
  },
  'grpc.health.v1.Health/Watch': { asks: [() => ({})], roles: null, stranger: 'ok' },
};

/** A console that was not built says so. */
const CONSOLE = existsSync(new URL('../../dist/console/index.html', import.meta.url)) ? 200 : 503;

/** What is served beside the RPCs: who may read it, and what a call without a token gets. */
export const plainRoutes: Readonly<Record<string, { readonly nobody: number; readonly stranger: number }>> = {
  'GET /health': { nobody: 200, stranger: 200 },
  'GET /livez': { nobody: 200, stranger: 200 },
  'GET /readyz': { nobody: 200, stranger: 200 },
  // Without an upgrade; tests/transport/websocket.test.ts and the test below have the upgrade itself.
  'GET /ws': { nobody: 426, stranger: 426 },
  'GET /ws/status': { nobody: 401, stranger: 200 },
  'GET /openapi.json': { nobody: 200, stranger: 200 },
  'GET /.well-known/webhook-keys': { nobody: 200, stranger: 200 },
  'GET /docs': { nobody: 200, stranger: 200 },
  // Development's one-click sign-in.
  'GET /console/dev-token?role=admin': { nobody: 404, stranger: 404 },
  // The console signs in and out, with a header that says that it is the console.
  'POST /console/session': { nobody: 403, stranger: 403 },
  'DELETE /console/session': { nobody: 403, stranger: 403 },
  'GET /': { nobody: CONSOLE, stranger: CONSOLE },
};
