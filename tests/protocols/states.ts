// What a caller does wrong only because of the state that things are in: a limit that is reached, a delivery that has ended, a webhook that has changed.
import { MAX_TESTS_OF_WEBHOOK } from '../../src/delivery/test-budget.ts';
import { MAX_KEYS_OF_DEVELOPER } from '../../src/service/idempotent-call.ts';
import { MAX_BROADCAST_WEBHOOKS } from '../../src/service/publisher.ts';
import type { Row, Scene } from './refusals.ts';

/** Of a webhook, as `service/replay-limits.ts` says. */
const MAX_REPLAYS = 5;
const LONG_AGO = '2001-01-01T00:00:00Z';

export const states: readonly Row[] = [
  {
    name: 'to change a webhook that was changed meanwhile',
    reason: 'etag_mismatch',
    rpc: 'UpdateWebhook',
    message: async (scene) => ({ webhook_id: await scene.webhook(), etag: 'stale', description: 'late' }),
  },
  {
    name: 'one type too many',
    reason: 'event_type_limit_reached',
    rpc: 'CreateEventType',
    role: 'admin',
    message: { name: 'kitchen.opened' },
    before: (scene) =>
      scene.change(
        `insert into event_types (name, description) select 'filler.n' || n, '' from generate_series(1, 500) n`,
        `delete from event_types where name like 'filler.%'`,
      ),
  },
  {
    name: `test ${MAX_TESTS_OF_WEBHOOK + 1} while ${MAX_TESTS_OF_WEBHOOK} are under way`,
    reason: 'test_limit_reached',
    rpc: 'TestWebhook',
    message: async (scene) => ({ webhook_id: await scene.hangingTests('first') }),
  },
  {
    name: 'the key of a call that is under way',
    reason: 'idempotency_key_in_use',
    rpc: 'TestWebhook',
    field: 'idempotency_key',
    message: async (scene) => ({ webhook_id: await scene.hangingTests('first'), idempotency_key: 'first' }),
  },
  {
    name: 'one key too many',
    reason: 'idempotency_limit_reached',
    rpc: 'PauseWebhook',
    field: 'idempotency_key',
    message: async (scene) => {
      await scene.change(
        `insert into idempotent_calls (caller, method, key, expires_at)
         select '${scene.user}', 'RetryDelivery', n::text, now() + interval '1 hour' from generate_series(1, ${MAX_KEYS_OF_DEVELOPER}) n`,
        `delete from idempotent_calls where caller = '${scene.user}'`,
      );
      return { webhook_id: await scene.webhook(), idempotency_key: 'one more' };
    },
  },
  {
    name: 'to cancel what was delivered',
    reason: 'delivery_ended',
    rpc: 'CancelDelivery',
    message: async (scene) => ({ delivery_id: await scene.endedDelivery() }),
  },
  {
    name: 'to try again what is too late',
    reason: 'delivery_expired',
    rpc: 'RetryDelivery',
    message: async (scene) => ({ delivery_id: await scene.endedDelivery({ deliver_before: LONG_AGO }) }),
  },
  {
    name: 'to try again what a newer event has followed',
    reason: 'delivery_superseded',
    rpc: 'RetryDelivery',
    message: async (scene) => ({ delivery_id: await scene.supersededDelivery() }),
  },
  {
    name: 'the same replay again',
    reason: 'replay_exists',
    rpc: 'CreateReplay',
    field: 'replay_id',
    message: async (scene) => ({ webhook_id: await withReplays(scene, [500]), http_statuses: [500] }),
  },
  {
    name: 'one replay too many',
    reason: 'replay_limit_reached',
    rpc: 'CreateReplay',
    message: async (scene) => ({
      webhook_id: await withReplays(
        scene,
        Array.from({ length: MAX_REPLAYS }, (_, n) => 500 + n),
      ),
      http_statuses: [599],
    }),
  },
  {
    name: 'a broadcast to more webhooks than one may have',
    reason: 'broadcast_too_large',
    rpc: 'PublishEvent',
    field: 'audience.broadcast',
    message: async (scene) => ({
      event_type: await scene.crowdedType(MAX_BROADCAST_WEBHOOKS + 1),
      data_json: Buffer.from('{}').toString('base64'),
      audience: { broadcast: true },
    }),
  },
];

/** A paused webhook's replays do not end. */
async function withReplays(scene: Scene, statuses: readonly number[]): Promise<string> {
  const id = await scene.webhook();
  await scene.call('POST', `/api/v1/webhooks/${id}/pause`, {});
  for (const status of statuses) await scene.call('POST', `/api/v1/webhooks/${id}/replays`, { http_statuses: [status] });
  return id;
}
