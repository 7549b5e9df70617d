// F34, F36: the schema and the webhooks change while deliveries are on their way.
import { setTimeout as wait } from 'node:timers/promises';
import { eventually } from '../../fixtures/eventually.ts';
import type { FaultCase } from '../case.ts';
import { statuses } from '../figures.ts';
import { judge } from '../verdict.ts';

export const cases: readonly FaultCase[] = [
  {
    id: 'F34',
    title: 'an additive migration and a new version beside the old one, under load',
    ci: false,
    async run(world, check) {
      await world.createWebhook('/ok');
      const publishing = world.publishMany(1000, 50);
      await wait(3000);
      const session = await world.postgres.session();
      for (const statement of [
        `set lock_timeout = '500ms'`,
        'alter table deliveries add column note text',
        `alter table events add column origin text not null default 'unknown'`,
        'alter table webhook_endpoints add column color text',
        'create index concurrently webhook_endpoints_color on webhook_endpoints (color)',
      ]) {
        await eventually(async () => (await session.query(statement), true), { what: statement, deadlineMs: 20_000 });
      }
      await session.end();
      await wait(3000);
      // The new version comes up, looks for migrations, and serves beside the old one, which then goes.
      const [api, worker] = await Promise.all([world.startProcess('api'), world.startProcess('worker')]);
      await world.w1.stop();
      world.w1 = worker;
      const old = world.api;
      world.api = api;
      const records = await publishing;
      await old.stop();
      records.push(...(await world.publishMany(50, 50)));
      await world.settle();
      const verdict = await judge(world);
      const refused = records.filter(({ status }) => status !== 202);
      const spanMs =
        Math.max(0, ...refused.map((r) => r.startedAtMs)) - Math.min(...refused.map((r) => r.startedAtMs), Infinity);
      check('no refusals for longer than a second', refused.length === 0 || spanMs <= 1000, statuses(records));
      check('lost', verdict.lost === 0, verdict.lost);
      check('duplicates', verdict.duplicates === 0, verdict.duplicates);
    },
  },
  {
    id: 'F36',
    title: 'webhooks deleted, disabled, moved and given new secrets while attempts run',
    ci: false,
    env: { WEBHOOK_ENDPOINT_CONCURRENCY: '4' },
    async run(world, check) {
      // Each attempt takes half a second and fails, so there are always some in flight, some in backoff, and some waiting.
      for (const path of ['/deleted', '/disabled', '/old', '/rotated'])
        world.sink.behave(path, { statuses: [500], delayMs: 500 });
      const policy = { retry_policy: { retry_delay: 1, max_retries: 5 } };
      const deleted = await world.createWebhook('/deleted', { user_id: 'deleted', ...policy });
      const disabled = await world.createWebhook('/disabled', { user_id: 'disabled', ...policy });
      const moved = await world.createWebhook('/old', { user_id: 'moved', ...policy });
      const rotated = await world.createWebhook('/rotated', { user_id: 'rotated', ...policy });
      for (const user of ['deleted', 'disabled', 'moved', 'rotated']) await world.publishBacklog(20, user);
      const count = (path: string): number => world.sink.arrivals.filter((arrival) => arrival.path === path).length;
      await eventually(() => ['/deleted', '/disabled', '/old', '/rotated'].every((path) => count(path) >= 8), {
        what: 'attempts',
      });
      const answers = await Promise.all([
        world.rest('DELETE', `/api/v1/webhooks/${deleted}`),
        world.rest('PUT', `/api/v1/webhooks/${disabled}`, { is_active: false }),
        world.rest('PUT', `/api/v1/webhooks/${moved}`, { url: `${world.sink.url}/new` }),
        world.rest('POST', `/api/v1/webhooks/${rotated}/rotate-secret`),
      ]);
      // What had begun before the answer may arrive; at most the places of both workers.
      const changedAtMs = Date.now();
      world.sink.behave('/rotated', { statuses: [200] });
      await world.settle();
      const late = (path: string): number =>
        world.sink.arrivals.filter((arrival) => arrival.path === path && arrival.atMs > changedAtMs + 200).length;
      const states = await world.postgres.query<{ user_id: string; status: string; n: number }>(
        'select user_id, status, count(*)::integer as n from deliveries group by 1, 2 order by 1, 2',
      );
      const seen = states.map(({ user_id: user, status, n }) => `${user} ${status} ×${n}`).join(', ');
      const verdict = await judge(world, ['/deleted', '/disabled']);
      const bad = answers.filter(({ status }) => status >= 300).length;
      check('the changes are accepted', bad === 0, answers.map(({ status }) => status).join(' '));
      check('deleted: nothing is sent afterwards', late('/deleted') === 0, late('/deleted'));
      check('disabled: nothing is sent afterwards', late('/disabled') === 0, late('/disabled'));
      check(
        'moved: nothing goes to the old URL, all of it to the new one',
        late('/old') === 0 && count('/new') === 20,
        `${late('/old')}, ${count('/new')}`,
      );
      const signed = world.sink.arrivals.filter(({ path, atMs }) => path === '/rotated' && atMs > changedAtMs + 200);
      const doubly = signed.filter(({ signatures }) => signatures.split(' ').length === 2).length;
      check('new secret: signed with both', signed.length > 0 && doubly === signed.length, `${doubly} of ${signed.length}`);
      check('the rest is cancelled, or delivered', !/pending|retrying/.test(seen) && seen.includes('deleted cancelled'), seen);
      check(
        'lost, duplicates, gaps',
        verdict.lost + verdict.duplicates + verdict.gaps === 0,
        `${verdict.lost}, ${verdict.duplicates}, ${verdict.gaps}`,
      );
      check('the same body each time', verdict.changedBodies === 0, verdict.changedBodies);
      const history = await world.rest('GET', `/api/v1/webhooks/deliveries?webhook_id=${deleted}&limit=100`);
      check('what was sent to the deleted one can still be read', history.body['total'] === 20, String(history.body['total']));
    },
  },
];
