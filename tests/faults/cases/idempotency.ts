// F26, F35: the same event published more than once, because a publisher is impatient or a reply was lost.
import { eventually } from '../../fixtures/eventually.ts';
import type { FaultCase } from '../case.ts';
import { statuses } from '../figures.ts';
import { startProxy } from '../proxy.ts';
import { judge } from '../verdict.ts';

export const cases: readonly FaultCase[] = [
  {
    id: 'F26',
    title: 'one key published fifty times at once, after FLUSHALL and after a restart of the API',
    ci: true,
    async run(world, check) {
      await world.createWebhook('/ok');
      const fiftyTimes = () => Promise.all(Array.from({ length: 50 }, () => world.publish({ key: 'the same' })));
      const records = await fiftyTimes();
      await world.redis.client.flushall();
      records.push(...(await fiftyTimes()));
      await world.api.kill();
      await world.restartApi();
      records.push(...(await fiftyTimes()));
      const other = await world.rest('POST', '/api/v1/events', {
        event_type: 'order.created',
        data: { order_id: 'another' },
        audience: { user_ids: ['someone'] },
        idempotency_key: 'the same',
      });
      await world.settle();
      const verdict = await judge(world);
      const ids = new Set(records.map((record) => record.eventId));
      const events = await world.count('events');
      const reason = (other.body['error'] as Record<string, unknown> | undefined)?.['reason'];
      check(
        'every call is answered 202',
        records.every(({ status }) => status === 202),
        statuses(records),
      );
      check('all answers carry one id', ids.size === 1, ids.size);
      check('one event', events === 1, events);
      check('one request', world.sink.arrivals.length === 1, world.sink.arrivals.length);
      check(
        'another body under the key is refused',
        other.status === 409 && reason === 'idempotency_key_reused',
        `${other.status} ${String(reason)}`,
      );
      check('lost', verdict.lost === 0, verdict.lost);
    },
  },
  {
    id: 'F35',
    title: 'the answer to a publish is lost on its way',
    ci: false,
    async run(world, check) {
      await world.createWebhook('/ok');
      const proxy = await startProxy(new URL(world.api.http));
      const through = { ...world.api, http: proxy.url };
      proxy.toxic = 'reset';
      const first = await Promise.all(Array.from({ length: 20 }, (_, n) => world.publish({ key: `lost-${n}`, api: through })));
      await eventually(async () => (await world.count('events')) === 20, { what: 'events that were committed all the same' });
      proxy.toxic = 'slice';
      const again = await Promise.all(first.map(({ key }) => world.publish({ key, api: through })));
      await proxy.close();
      await world.settle();
      const verdict = await judge(world);
      const events = await world.count('events');
      check(
        'no answer came through at first',
        first.every(({ status }) => status === 0) && proxy.kept() >= 20,
        statuses(first),
      );
      check(
        'the second try is answered',
        again.every(({ status }) => status === 202),
        statuses(again),
      );
      check('one event a key', events === 20, events);
      check('one request a key', world.sink.arrivals.length === 20, world.sink.arrivals.length);
      check('lost', verdict.lost === 0, verdict.lost);
    },
  },
];
