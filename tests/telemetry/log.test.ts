// What a log line may not hold, on whichever path it tries to get in.
import { describe, expect, test } from 'vitest';
import { createLogger, type Logger } from '../../src/telemetry/log.ts';

const SECRET = 'whsec_dGhpcyBpcyBhIHNlY3JldCBvZiAyNCBieXRlcw==';
const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c2VyMTIzIn0.c2lnbmF0dXJl';
const PAYLOAD = 'the customer’s address';

function captured(environment: 'production' | 'development' = 'production'): { log: Logger; text: () => string } {
  const lines: string[] = [];
  const config = { environment, logLevel: 'trace', version: '1.2.3', role: 'all' } as const;
  return { log: createLogger(config, { write: (line: string) => void lines.push(line) }), text: () => lines.join('') };
}

function withProperties(error: Error, properties: object): Error {
  return Object.assign(error, properties);
}

const paths: Record<string, (log: Logger) => void> = {
  'a field': (log) => log.info({ authorization: `Bearer ${JWT}`, secret: SECRET, data: { x: PAYLOAD } }, 'x'),
  'a field of another name': (log) => log.info({ note: `it was ${SECRET} and ${JWT}` }, 'x'),
  'a deep field': (log) =>
    log.info({ a: { b: [{ Cookie: `s=${SECRET}`, payload: PAYLOAD, customHeaders: { 'X-Key': JWT } }] } }, 'x'),
  'headers of any name': (log) => log.info({ request: { headers: { 'x-their-own': PAYLOAD, authorization: JWT } } }, 'x'),
  'a message': (log) => log.info(`the secret ${SECRET} of Bearer ${JWT}`),
  'a message with placeholders': (log) => log.info('the secret %s of %s', SECRET, `Bearer ${JWT}`),
  'a child’s bindings': (log) => log.child({ token: JWT, note: SECRET }).info('x'),
  'a bare error': (log) => log.error(new Error(`refused ${SECRET}`)),
  'an error under err': (log) => log.error({ err: new Error(`refused Bearer ${JWT}`) }, 'x'),
  'an error’s own properties': (log) =>
    log.error({ err: withProperties(new Error('x'), { headers: { cookie: SECRET }, body: PAYLOAD }) }),
  'an error’s causes': (log) => log.error({ err: new Error('x', { cause: new Error('y', { cause: new Error(SECRET) }) }) }),
  'an error in a message’s placeholder': (log) => log.error('failed: %o', new Error(`x ${JWT}`)),
  'a failed statement': (log) =>
    log.error({ err: new Error(`insert into events (data) values ('${PAYLOAD}', '${SECRET}') - value too long`) }, 'x'),
  'a URL with a password': (log) => log.info({ url: `postgres://service:${PAYLOAD.replaceAll(' ', '')}@db/x` }, 'x'),
};

for (const environment of ['production', 'development'] as const) {
  describe(`in ${environment}, nothing secret is logged through`, () => {
    test.each(Object.entries(paths))('%s', (_name, write) => {
      const { log, text } = captured(environment);
      write(log);
      expect(text()).not.toBe('');
      expect(text()).not.toContain('whsec_d');
      expect(text()).not.toContain(JWT);
      expect(text()).not.toContain('address');
    });
  });
}

test('what is not secret stays readable', () => {
  const { log, text } = captured();
  log.error({
    err: withProperties(new Error('refused', { cause: new Error('the cause') }), { code: '57P03' }),
    webhook_id: 'webhook_1',
  });
  const line = JSON.parse(text()) as Record<string, unknown>;
  expect(line).toMatchObject({
    level: 'error',
    service: 'homechef-webhooks',
    message: 'failed',
    webhook_id: 'webhook_1',
    err: { type: 'Error', message: 'refused', code: '57P03', cause: { message: 'the cause' } },
  });
  expect(line['err']).toHaveProperty('stack', expect.stringContaining('log.test.ts'));
});

test('a line cannot be broken or coloured by what it quotes', () => {
  for (const environment of ['production', 'development'] as const) {
    const { log, text } = captured(environment);
    log.info({ user_id: 'a\r\n{"level":"fatal"}\u001b[31m\u009b31m\u2028' }, 'said "x\ny"\u001b[0m');
    const commands = Array.from(text().trimEnd()).filter((c) => c < ' ' || (c >= '\u007f' && c <= '\u009f') || c === '\u2028');
    expect(commands).toEqual([]);
  }
});

test('development lines are short and show the stack of an error', () => {
  const { log, text } = captured('development');
  log.info({ webhook_id: 'webhook_1' }, 'delivered');
  log.error({ err: new Error('refused') }, 'gave up');
  expect(text()).toMatch(
    /^\d\d:\d\d:\d\d INFO {2}delivered {2}webhook_id=webhook_1\n\d\d:\d\d:\d\d ERROR gave up {2}err="Error: refused"\n {4}at /,
  );
});

test.each(['production', 'development'] as const)(
  'in %s, what cannot be seen or turns text round is escaped',
  (environment) => {
    const { log, text } = captured(environment);
    const hidden = ['\u202e', '\u200b', '\ufeff', '\u00ad', '\u2066', '\u061c', '\u009b', '\u2028', '\u{e0041}', '\u001b'];
    for (const character of hidden) {
      log.info({ user_id: `user${character}321`, deep: { names: [character] } }, `hello ${character}`);
      log.error({ err: new Error(`no ${character}`) }, 'x');
    }
    for (const character of hidden) expect(text()).not.toContain(character);
    expect(text()).toMatch(/\\u202e/);
    expect(text()).toMatch(/\\udb40/);
  },
);
