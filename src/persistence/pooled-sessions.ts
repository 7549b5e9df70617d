// Sessions behind a pooler in transaction mode: it opens them itself, so it asks the database for their settings, and names our statements.
import { Client } from 'pg';
import { ConfigError, type DatabaseConfig } from '../config.ts';
import { boundedSettings, connectionOptions, databaseNameOf, type SessionKind } from './pool.ts';
import { REPORT_LIMITS } from './reports.ts';
import { batchSettings, lostSettings, outcomeSettings, sessionOptions, type ServerSettings } from './session.ts';
import { sqlState } from './store-errors.ts';

const settingsOf: Readonly<Record<SessionKind, ServerSettings>> = {
  short: boundedSettings(),
  report: boundedSettings(REPORT_LIMITS),
  batch: boundedSettings(undefined, batchSettings),
  outcome: boundedSettings(undefined, outcomeSettings),
};
const kinds = Object.keys(settingsOf) as SessionKind[];

/** What a pooler calls in each session that it opens (PgBouncer's `connect_query`). Its name is part of the documentation. */
const SESSION_FUNCTION = 'homechef_session';
const PROBE = 'homechef_probe';

const UNDEFINED_DATABASE = '3D000';
const PROTOCOL_VIOLATION = '08P01';

/** Makes the function that sets what sessions of a kind rely on, as this version has it. To be called under the lock of migrations. */
export async function createSessionFunction(client: Client): Promise<void> {
  const rows = kinds.flatMap((kind) =>
    Object.entries(settingsOf[kind]).map((setting) => `(${[kind, ...setting].map(literal).join(', ')})`),
  );
  // To count is to call it for each row.
  await client.query(`
    create or replace function public.${SESSION_FUNCTION}(kind text) returns bigint language sql as $body$
      select count(set_config(s.name, s.value, false)) from (values ${rows.join(', ')}) s (kind, name, value) where s.kind = $1
    $body$`);
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/**
 * Throws a ConfigError, in one sentence, when the pooler lacks a database, gives out sessions without their settings, or mixes up the
 * prepared statements of its clients. Without a pooler there is nothing to ask.
 */
export async function requirePooledSessions(database: DatabaseConfig): Promise<void> {
  if (database.direct === undefined) return;
  for (const kind of kinds) {
    const sentence = await problemOf(database, kind);
    if (sentence !== null) throw new ConfigError(sentence);
  }
}

async function problemOf(database: DatabaseConfig, kind: SessionKind): Promise<string | null> {
  const name = databaseNameOf(database, kind);
  const at = `the pooler at ${database.host}:${database.port}`;
  const options = sessionOptions(boundedSettings(undefined, settingsOf[kind]));
  const client = new Client({ ...connectionOptions(database), database: name, options });
  // One that breaks while it is idle fails the next query.
  client.on('error', () => {});
  try {
    await client.connect();
    // One transaction, so one session of the server.
    await client.query('begin');
    const names = Object.keys(settingsOf[kind]);
    const { rows } = await client.query<{ settings: ServerSettings }>({
      name: PROBE,
      text: 'select json_object_agg(name, setting) as settings from pg_settings where name = any ($1::text[])',
      values: [names],
    });
    const prepared = await client.query(`select 1 from pg_prepared_statements where name = '${PROBE}'`);
    await client.query('rollback');
    if (prepared.rowCount !== 0)
      return `${at} does not keep apart what its clients prepare: PgBouncer 1.21 or newer is needed, with pool_mode = transaction and max_prepared_statements above 0`;
    const lost = lostSettings(rows[0]?.settings ?? {}, settingsOf[kind]);
    if (lost.length > 0)
      return `${at} gives out sessions of "${name}" without their settings (${lost.join(', ')}): its connect_query must be select ${SESSION_FUNCTION}('${kind}'), and RECONNECT replaces sessions that it opened before`;
    return null;
  } catch (error) {
    return explain(error, at, name);
  } finally {
    await client.end().catch(() => undefined);
  }
}

function explain(error: unknown, at: string, name: string): string {
  const message = error instanceof Error ? error.message : String(error);
  const state = sqlState(error);
  if (state === UNDEFINED_DATABASE || message.startsWith('no such database'))
    return `${at} has no database "${name}": docs/operations.md has those that it needs`;
  if (state === PROTOCOL_VIOLATION && message.includes('startup parameter'))
    return `${at} refuses what a session sets (${message}): PgBouncer 1.21 or newer is needed, with ignore_startup_parameters = options`;
  return `${at} cannot be used: ${message}`;
}
