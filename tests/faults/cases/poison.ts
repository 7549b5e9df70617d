// F28: rows that cannot be delivered, whatever is tried.
import { setTimeout as wait } from 'node:timers/promises';
import { eventually } from '../../fixtures/eventually.ts';
import type { FaultCase } from '../case.ts';
import { latencies, quantile } from '../figures.ts';
import { judge } from '../verdict.ts';
import type { PublishRecord } from '../world.ts';

const ANSWER_MS = 20;
/**
 * SharedInterval without and with poison, in turn; the quietest of each are compared. A disk that stalls for 300 ms, as here every ten seconds,
 * only adds to a round's latency, whereas poison that costs the others something costs it in every round: it comes all the way through. The payload that is cut
 * is met once, and judged by its code.
 */
const ROUNDS = 6;
const ROUND_EVENTS = 75;
const EVENTS_PER_SECOND = 50;
const ROUND_POISONED = 20;
const POISON_INTERVAL_MS = (ROUND_EVENTS / EVENTS_PER_SECOND / ROUND_POISONED) * 1000;

export const cases: readonly FaultCase[] = [
  {
    id: 'F28',
    title: 'poisoned rows: secrets, URLs, headers, policies and payloads that cannot be read',
    ci: true,
    env: { WEBHOOK_RETRY_DELAY: '0.5', WEBHOOK_MAX_RETRIES: '1' },
    async run(world, check) {
      world.sink.behave('/ok', { statuses: [200], delayMs: ANSWER_MS });
      await world.createWebhook('/ok');
      const processes = world.running;
      const quietestP95 = (rounds: readonly PublishRecord[][]): number =>
        Math.min(...rounds.map((round) => quantile(latencies(world, '/ok', round), 0.95)));
      const withoutPoison = [await world.publishMany(ROUND_EVENTS, EVENTS_PER_SECOND)];
      await world.settle();
      // What the row of a webhook becomes, and the code that its deliveries must end with.
      const poisons: Record<string, readonly [set: string, code: string]> = {
        'a secret that is none': [`secret = 'x'`, 'decrypt_failed'],
        'a URL that is none': [`url = 'x'`, 'url_invalid'],
        'a URL that became forbidden': [`url = 'http://169.254.169.254/'`, 'ssrf_blocked'],
        'headers that are none': [`custom_headers = 'x'`, 'decrypt_failed'],
        'old secrets that are no list': [`previous_secrets = '{"sealed":1}'`, 'decrypt_failed'],
      };
      const ids = new Map<string, string>();
      for (const [what, [set]] of Object.entries(poisons)) {
        const id = await world.createWebhook('/poisoned', { user_id: 'poisoned' });
        ids.set(id, what);
        await world.postgres.query(`update webhook_endpoints set ${set}, revision = revision + 1 where id = $1`, undefined, [
          id,
        ]);
      }
      // The payloads are damaged before they are read: their webhook answers with a failure until then.
      world.sink.behave('/payload', { statuses: [500] });
      const payload = await world.createWebhook('/payload', {
        user_id: 'payload',
        retry_policy: { retry_delay: 3, max_retries: 1 },
      });
      ids.set(payload, 'a payload that is cut');
      const cut = await world.publish({ userId: 'payload' });
      await world.postgres.query(`update events set data = left(data, -5) where id = $1`, undefined, [cut.eventId]);
      const refused = await world.postgres.query(`update deliveries set status = 'unheard of'`).then(
        () => false,
        () => true,
      );
      const besidePoison = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        if (round > 0) withoutPoison.push(await world.publishMany(ROUND_EVENTS, EVENTS_PER_SECOND));
        const records = world.publishMany(ROUND_EVENTS, EVENTS_PER_SECOND);
        for (let n = 0; n < ROUND_POISONED; n += 1) {
          await Promise.all([world.publish({ userId: 'poisoned' }), wait(POISON_INTERVAL_MS)]);
        }
        besidePoison.push(await records);
        await world.settle();
      }
      const rows = await world.postgres.query<{ webhook_id: string; status: string; error_code: string; n: number }>(
        `select webhook_id, status, error_code, count(*)::integer as n from deliveries
         where user_id <> 'someone' group by 1, 2, 3`,
      );
      for (const [id, what] of ids) {
        const code = poisons[what]?.[1] ?? 'payload_unreadable';
        const found = rows.filter((row) => row.webhook_id === id);
        const seen = found.map((row) => `${row.status} ${row.error_code} ×${row.n}`).join(', ');
        check(what, found.length === 1 && found[0]?.status === 'failed' && found[0].error_code === code, seen);
      }
      const keyless = await world.createWebhook('/keyless', { user_id: 'keyless' });
      const sealed = `'v1:gone:' || split_part(secret, ':', 3)`;
      await world.postgres.query(
        `update webhook_endpoints set secret = ${sealed}, revision = revision + 1 where id = $1`,
        undefined,
        [keyless],
      );
      for (let n = 0; n < ROUND_POISONED; n += 1) await world.publish({ userId: 'keyless' });
      const waiting = await eventually(
        async () => {
          const [row] = await world.postgres.query<{ waiting: number; tried: number }>(
            `select count(*) filter (where status = 'pending')::integer as waiting,
               count(*) filter (where attempt_count + retries_used > 0)::integer as tried
             from deliveries where webhook_id = $1`,
            undefined,
            [keyless],
          );
          const isNoticed = processes.some((item) => item.lines.some((line) => line.includes('under a key that')));
          return row !== undefined && (isNoticed || row.tried > 0) ? row : null;
        },
        { what: 'deliveries that wait for a key' },
      );
      check(
        'a secret under an unknown key: every delivery waits, and none was tried',
        waiting.waiting === ROUND_POISONED && waiting.tried === 0,
        `${waiting.waiting} wait, ${waiting.tried} tried`,
      );
      await world.rest('DELETE', `/api/v1/webhooks/${keyless}`);
      await world.settle();
      const [p95, p95Beside] = [quietestP95(withoutPoison), quietestP95(besidePoison)];
      const verdict = await judge(world, ['/poisoned', '/payload', '/keyless', 'x', '169.254.169.254/']);
      check('an unknown status is refused by the schema', refused, String(refused));
      check('lost', verdict.lost === 0, verdict.lost);
      check('p95 of the others at most twice the baseline', p95Beside <= 2 * p95, `${p95Beside} ms after ${p95} ms`);
      check(
        'processes live',
        processes.every((item) => world.running.includes(item)),
        world.running.length,
      );
    },
  },
];
