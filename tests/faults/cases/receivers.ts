// F16–F19, F22–F24: receivers that hang, break off, flood, talk nonsense, are away, are gone, or ask to wait.
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { eventually } from '../../fixtures/eventually.ts';
import { freePort } from '../../fixtures/ports.ts';
import type { FaultCase } from '../case.ts';
import { latencies, quantile, watchProcesses } from '../figures.ts';
import { deafListener } from '../deaf-listener.ts';
import type { Behaviour } from '../sink.ts';
import { judge } from '../verdict.ts';
import { TIMEOUT } from '../world.ts';

/** How much later than its deadline an attempt may end, in milliseconds (rule 24). */
const DEADLINE_TOLERANCE_MS = 700;
const MEBIBYTE = 1024 * 1024;

export const cases: readonly FaultCase[] = [
  {
    id: 'F16',
    title: 'a hundred receivers hang, drip, flood with 1xx or never finish TLS',
    ci: false,
    // In production a webhook may be https only; here it must reach a server that accepts and says nothing.
    async run(world, check) {
      const silent = createServer();
      silent.listen(0, '127.0.0.1');
      await once(silent, 'listening');
      const silentUrl = `https://127.0.0.1:${(silent.address() as AddressInfo).port}/`;
      await world.createWebhook('/ok');
      const baseline = await world.publishMany(300, 50);
      await world.settle();
      for (let n = 0; n < 100; n += 1) {
        const user = { user_id: `stuck-${n % 5}`, retry_policy: { max_retries: 0 } };
        const kind = (['hang', 'drip', 'informational'] as const)[n % 4];
        if (kind === undefined) await world.createWebhook('/', { ...user, url: `${silentUrl}${n}` });
        else {
          world.sink.behave(`/stuck-${n}`, { kind });
          await world.createWebhook(`/stuck-${n}`, user);
        }
      }
      for (let user = 0; user < 5; user += 1) for (let n = 0; n < 10; n += 1) await world.publish({ userId: `stuck-${user}` });
      const beside = await world.publishMany(300, 50);
      await world.settle();
      const [p95, p95Beside] = [baseline, beside].map((records) => quantile(latencies(world, '/ok', records), 0.95)) as [
        number,
        number,
      ];
      const outcomes = await world.postgres.query<{ error_code: string; longest: number; n: number }>(
        `select error_code, max(duration_ms)::integer as longest, count(*)::integer as n from attempts group by error_code`,
      );
      silent.close();
      check(
        `timeout within the deadline + ${DEADLINE_TOLERANCE_MS} ms, and nothing else`,
        outcomes.length === 1 &&
          outcomes[0]?.error_code === 'timeout' &&
          outcomes[0].longest <= TIMEOUT * 1000 + DEADLINE_TOLERANCE_MS,
        outcomes.map((row) => `${row.error_code} ×${row.n}, at most ${row.longest} ms`).join('; '),
      );
      check('p95 of another at most twice the baseline', p95Beside <= 2 * p95, `${p95Beside} ms beside ${p95} ms`);
    },
  },
  {
    id: 'F17',
    title: 'receivers break off in the middle of an answer',
    ci: true,
    async run(world, check) {
      world.sink.behave('/cut-status', { raw: 'HTTP/1.1 20' });
      world.sink.behave('/cut-headers', { kind: 'cut-headers' });
      world.sink.behave('/cut-body', { kind: 'cut-body' });
      const line = await world.createWebhook('/cut-status');
      const headers = await world.createWebhook('/cut-headers');
      const body = await world.createWebhook('/cut-body');
      await world.publish();
      const first = await eventually(
        async () => (await world.postgres.query<{ error_code: string }>(`select error_code from attempts where number = 1`))[0],
        { what: 'a failed attempt' },
      );
      world.sink.behave('/cut-status', { statuses: [200] });
      await world.settle();
      const verdict = await judge(world);
      const rows = new Map(
        (
          await world.postgres.query<{
            webhook_id: string;
            status: string;
            attempt_count: number;
            response_truncated: boolean;
          }>(`select webhook_id, status, attempt_count, response_truncated from deliveries`)
        ).map((row) => [row.webhook_id, row]),
      );
      check('cut in the status line: connection_reset', first.error_code === 'connection_reset', first.error_code);
      check(
        'and tried again',
        rows.get(line)?.status === 'delivered' && rows.get(line)?.attempt_count === 2,
        rows.get(line)?.attempt_count ?? 0,
      );
      check(
        'cut in the headers: delivered, and not tried again',
        rows.get(headers)?.status === 'delivered' && rows.get(headers)?.attempt_count === 1,
        JSON.stringify(rows.get(headers)),
      );
      const cut = rows.get(body);
      check(
        'cut in the body: delivered, marked as truncated',
        cut?.status === 'delivered' && cut.response_truncated,
        JSON.stringify(cut),
      );
      check('and not tried again', cut?.attempt_count === 1 && verdict.duplicates === 0, verdict.duplicates);
    },
  },
  {
    id: 'F18',
    title: 'answers of ten gigabytes, without end, with huge headers, and compressed bombs',
    ci: true,
    env: { WEBHOOK_MAX_RETRIES: '0' },
    async run(world, check) {
      const bomb = gzipSync(Buffer.alloc(50 * MEBIBYTE), { level: 9 }).toString('latin1');
      const thousandfold = gzipSync(Buffer.alloc(MEBIBYTE), { level: 9 }).toString('latin1');
      const kinds: Record<string, { behaviour: Behaviour; code: string | null }> = {
        big: { behaviour: { kind: 'big' }, code: null },
        headers: {
          behaviour: { raw: `HTTP/1.1 200 OK\r\nX-Long: ${'x'.repeat(MEBIBYTE)}\r\n\r\n` },
          code: null,
        },
        endless: { behaviour: { raw: `HTTP/1.1 200 ${'x'.repeat(MEBIBYTE)}` }, code: 'response_headers_too_large' },
        gzip: { behaviour: { raw: compressed(thousandfold) }, code: null },
        bomb: { behaviour: { raw: compressed(bomb) }, code: null },
      };
      for (const [name, { behaviour }] of Object.entries(kinds)) {
        world.sink.behave(`/${name}`, behaviour);
        await world.createWebhook(`/${name}`, { user_id: 'one of each' });
      }
      for (let n = 0; n < 100; n += 1) {
        world.sink.behave(`/big-${n}`, { kind: 'big' });
        await world.createWebhook(`/big-${n}`, { user_id: `hundred-${n % 2}` });
      }
      // Buffers, pools and compiled code are there before what is measured begins.
      world.sink.behave('/warm', { statuses: [200] });
      await world.createWebhook('/warm', { user_id: 'warm' });
      await world.publishBacklog(2000, 'warm');
      await world.settle();
      await world.publish({ userId: 'one of each' });
      await world.settle();
      const rows = await world.postgres.query<{ url: string; status: string; error_code: string | null; duration_ms: number }>(
        `select w.url, d.status, d.error_code, d.duration_ms from deliveries d join webhook_endpoints w on w.id = d.webhook_id
         where w.user_id = 'one of each'`,
      );
      for (const [name, { code }] of Object.entries(kinds)) {
        const row = rows.find((item) => item.url.endsWith(`/${name}`));
        const seen = `${row?.status} ${row?.error_code ?? ''} in ${row?.duration_ms} ms`;
        check(
          name,
          row?.error_code === code && row.duration_ms < 2000 && row.status === (code === null ? 'delivered' : 'failed'),
          seen,
        );
      }
      const before = watchProcesses(() => [world.w1, world.w2]);
      await new Promise((resolve) => setTimeout(resolve, 2500));
      const { rssMb: rssBefore } = await before.stop();
      const sentBefore = world.sink.bytesSent();
      const during = watchProcesses(() => [world.w1, world.w2]);
      await Promise.all([world.publish({ userId: 'hundred-0' }), world.publish({ userId: 'hundred-1' })]);
      await world.settle();
      const { rssMb } = await during.stop();
      const sentEach = (world.sink.bytesSent() - sentBefore) / 100;
      check(
        'sent to each at most 1 MiB and the buffers of two sockets',
        sentEach <= 8 * MEBIBYTE,
        `${(sentEach / MEBIBYTE).toFixed(1)} MiB`,
      );
      check(
        'memory grows by less than 32 MB, a hundred at once',
        rssMb - rssBefore < 32,
        `${(rssMb - rssBefore).toFixed(1)} MB`,
      );
    },
  },
  {
    id: 'F19',
    title: 'twenty kinds of answers that are not HTTP',
    ci: false,
    env: { WEBHOOK_MAX_RETRIES: '0' },
    async run(world, check) {
      const processes = world.running;
      for (const [name, [raw]] of Object.entries(nonsense)) {
        world.sink.behave(`/${name}`, { raw });
        await world.createWebhook(`/${name}`);
      }
      await world.publish();
      await world.settle();
      const rows = await world.postgres.query<{ url: string; code: string }>(
        `select w.url, coalesce(d.error_code, d.status) as code from deliveries d join webhook_endpoints w on w.id = d.webhook_id`,
      );
      for (const [name, [, codes]] of Object.entries(nonsense)) {
        const seen = rows.find((row) => row.url.endsWith(`/${name}`))?.code ?? 'no delivery';
        check(name, codes.includes(seen), seen);
      }
      check(
        'processes live',
        processes.every((item) => world.running.includes(item)),
        world.running.length,
      );
    },
  },
  {
    id: 'F22',
    title: 'connections that hang, are refused, or are reset',
    ci: false,
    env: { WEBHOOK_TIMEOUT: '10', WEBHOOK_LEASE: '15', WEBHOOK_MAX_RETRIES: '0' },
    async run(world, check) {
      const resetting = createServer((socket) => {
        socket.once('data', () => socket.resetAndDestroy());
        socket.on('error', () => undefined);
      });
      resetting.listen(0, '127.0.0.1');
      await once(resetting, 'listening');
      const deaf = await deafListener();
      const urls = {
        timeout: deaf.url,
        connection_refused: `http://127.0.0.1:${await freePort()}/`,
        connection_reset: `http://127.0.0.1:${(resetting.address() as AddressInfo).port}/`,
      };
      const ids = new Map<string, string>();
      for (const [code, url] of Object.entries(urls)) ids.set(await world.createWebhook('/', { url }), code);
      await world.publish();
      await world.settle();
      const rows = await world.postgres.query<{ webhook_id: string; error_code: string; duration_ms: number }>(
        'select webhook_id, error_code, duration_ms from deliveries',
      );
      deaf.close();
      resetting.close();
      for (const row of rows) {
        const wanted = ids.get(row.webhook_id) ?? '';
        const limitMs = wanted === 'timeout' ? 5000 + DEADLINE_TOLERANCE_MS : 1000;
        check(wanted, row.error_code === wanted && row.duration_ms <= limitMs, `${row.error_code} after ${row.duration_ms} ms`);
      }
      check('all three came to an end', rows.length === 3, rows.length);
    },
  },
  {
    id: 'F23',
    title: '410 with five deliveries queued',
    ci: true,
    env: { WEBHOOK_ENDPOINT_CONCURRENCY: '1' },
    async run(world, check) {
      world.sink.behave('/gone', { statuses: [410], delayMs: 300 });
      const webhook = await world.createWebhook('/gone');
      await world.w2.stop();
      await world.publishBacklog(5);
      await world.settle();
      // One more lease would show whatever is still scheduled.
      await new Promise((resolve) => setTimeout(resolve, 3000));
      const answer = (await world.rest('GET', `/api/v1/webhooks/${webhook}`)).body;
      const reason = (answer['health'] as Record<string, unknown> | undefined)?.['disabled_reason'];
      const states = await world.postgres.query<{ status: string; n: number }>(
        'select status, count(*)::integer as n from deliveries group by status order by status',
      );
      const seen = states.map(({ status, n }) => `${status} ×${n}`).join(', ');
      check('one request and no more', world.sink.arrivals.length === 1, world.sink.arrivals.length);
      check('the webhook is disabled as gone', answer['is_active'] === false && reason === 'gone', String(reason));
      check('the others are cancelled', seen === 'cancelled ×4, failed ×1', seen);
      const notices = await world.metric('endpoints_disabled_total');
      check('the operators get a notice', notices === 1, notices);
    },
  },
  {
    id: 'F24',
    title: '429 with every kind of Retry-After',
    ci: true,
    async run(world, check) {
      const inFourSeconds = new Date(Math.ceil(Date.now() / 1000) * 1000 + 60_000);
      // Seconds that the next attempt must be away: at least, and at most.
      const base = [0.8, 1.2] as const;
      const asked: Record<string, readonly [value: string, least: number, most: number]> = {
        seconds: ['3', 3, 3],
        date: [inFourSeconds.toUTCString(), 30, 61],
        past: ['Fri, 01 Jan 2016 00:00:00 GMT', ...base],
        negative: ['-5', ...base],
        huge: ['9999999999', 86_400, 86_400],
        fraction: ['3.5', ...base],
        junk: ['soon', ...base],
        zero: ['0', ...base],
      };
      for (const [name, [value]] of Object.entries(asked)) {
        world.sink.behave(`/${name}`, { statuses: [429, 200], headers: `Retry-After: ${value}\r\n` });
        await world.createWebhook(`/${name}`);
      }
      await world.publish();
      await eventually(async () => (await world.count('attempts')) >= 8, { what: 'eight answers', deadlineMs: 20_000 });
      // From the end of the first attempt to the next, set or made.
      const rows = await world.postgres.query<{ url: string; seconds: number | null; ended_ms: number }>(
        `select w.url, (extract(epoch from d.next_attempt_at - a.started_at) - a.duration_ms / 1000.0)::float8 as seconds,
           (extract(epoch from a.started_at) * 1000 + a.duration_ms)::float8 as ended_ms
         from attempts a join deliveries d on d.id = a.delivery_id join webhook_endpoints w on w.id = d.webhook_id where a.number = 1`,
      );
      await eventually(() => world.sink.arrivals.filter(({ attempt }) => attempt === 2).length >= 6, {
        what: 'six second attempts',
        deadlineMs: 30_000,
      });
      for (const [name, [, least, most]] of Object.entries(asked)) {
        const row = rows.find((item) => item.url.endsWith(`/${name}`));
        const second = world.sink.arrivals.find(({ path, attempt }) => path === `/${name}` && attempt === 2);
        const seconds = second === undefined ? (row?.seconds ?? 0) : (second.atMs - (row?.ended_ms ?? 0)) / 1000;
        // The clock of the delay starts when the outcome is written, and a busy machine sends late: never early.
        check(`${name}: ${least} to ${most} s`, seconds >= least - 0.002 && seconds <= most + 3, `${seconds.toFixed(2)} s`);
      }
      check('early', (await judge(world)).early === 0, 0);
    },
  },
];

function compressed(body: string): string {
  return `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

const broken = ['protocol_error', 'connection_reset'];
/** An answer, and the codes it may end with. */
const nonsense: Record<string, readonly [raw: string, codes: readonly string[]]> = {
  'no-http': ['hello there, this is not HTTP\r\n\r\n', ['protocol_error']],
  'status-000': ['HTTP/1.1 000 None\r\nContent-Length: 0\r\n\r\n', ['protocol_error']],
  'status-099': ['HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n', ['protocol_error']],
  'status-1000': ['HTTP/1.1 1000 High\r\nContent-Length: 0\r\n\r\n', ['protocol_error']],
  'status-letters': ['HTTP/1.1 abc Letters\r\n\r\n', ['protocol_error']],
  'status-missing': ['HTTP/1.1\r\n\r\n', ['protocol_error']],
  'version-9': ['HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n', ['protocol_error']],
  http09: ['<html>hello</html>', broken],
  'two-lengths': ['HTTP/1.1 500 Bad\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab', ['http_status']],
  'negative-length': ['HTTP/1.1 500 Bad\r\nContent-Length: -1\r\n\r\n', ['http_status']],
  'length-and-chunks': [
    'HTTP/1.1 500 Bad\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ['http_status'],
  ],
  'bare-cr': ['HTTP/1.1 500 Bad\rContent-Length: 0\r\r', broken],
  'space-in-name': ['HTTP/1.1 500 Bad\r\nBad Name: x\r\nContent-Length: 0\r\n\r\n', ['http_status']],
  'nul-in-header': ['HTTP/1.1 500 Bad\r\nX-Nul: a\0b\r\nContent-Length: 0\r\n\r\n', ['http_status']],
  'bad-chunk': ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nnonsense\r\n', ['delivered']],
  'huge-chunk': ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n', ['delivered']],
  'early-close': ['', ['connection_reset']],
  'half-a-line': ['HTTP/1.1 20', broken],
  'tls-alert': ['\u0015\u0003\u0001\u0000\u0002\u0002\u0028', broken],
  upgrade: ['HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n', ['http_status']],
  binary: ['\u0000\u0001\u0002\u0003'.repeat(100), ['protocol_error']],
};
