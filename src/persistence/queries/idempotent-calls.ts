// Calls with an idempotency key: which call takes a key first, and what a repeated call finds.
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';

export interface CallId {
  readonly caller: string;
  /** The name of the RPC: one key may be used for each. */
  readonly method: string;
  readonly key: string;
}

export interface FirstCall {
  /** Null once there is a reply, which contains it. */
  readonly requestHash: string | null;
  /** Sealed; null while the call is under way, and of a batch. */
  readonly answer: string | null;
}

/** Whether the key was free and is taken now. Where another transaction has just taken it, this one waits for its end. */
export async function takeKey(
  manager: EntityManager,
  { caller, method, key }: CallId,
  requestHash: string,
  keptMs: number,
): Promise<boolean> {
  const taken = await manager.execute<object[]>(
    `insert into idempotent_calls as c (caller, method, key, request_hash, expires_at)
     values (?, ?, ?, ?, now() + ? * interval '1 millisecond')
     ${unlessTaken}`,
    [caller, method, key, requestHash, keptMs],
  );
  return taken.length > 0;
}

/** The same for a batch, in a statement of its own. Returns the hash of the batch that has the key. */
export async function takeBatchKey(pool: Pool, { caller, method, key }: CallId, requestHash: string, keptMs: number) {
  const id = [caller, method, key];
  const taken = await pool.query<{ requestHash: string }>(
    `insert into idempotent_calls as c (caller, method, key, request_hash, expires_at)
     values ($1, $2, $3, $4, now() + $5::float8 * interval '1 millisecond')
     ${unlessTaken}`,
    [...id, requestHash, keptMs],
  );
  if (taken.rowCount === 1) return requestHash;
  const first = await pool.query<FirstCall>(findFirst('$1', '$2', '$3'), id);
  return first.rows[0]?.requestHash ?? null;
}

/** Undefined when the key is free. */
export async function findFirstCall(manager: EntityManager, { caller, method, key }: CallId): Promise<FirstCall | undefined> {
  const [first] = await manager.execute<FirstCall[]>(findFirst('?', '?', '?'), [caller, method, key]);
  return first;
}

/** Keeps the sealed reply for repeated calls. */
export async function keepAnswer(
  manager: EntityManager,
  { caller, method, key }: CallId,
  answer: string,
  keptMs: number,
): Promise<void> {
  await manager.execute(
    `update idempotent_calls set answer = ?, request_hash = null, expires_at = now() + ? * interval '1 millisecond'
     where caller = ? and method = ? and key = ?`,
    [answer, keptMs, caller, method, key],
  );
}

/** Gives back the key of a call that changed nothing. */
export async function releaseKey(manager: EntityManager, { caller, method, key }: CallId): Promise<void> {
  await manager.execute('delete from idempotent_calls where caller = ? and method = ? and key = ? and answer is null', [
    caller,
    method,
    key,
  ]);
}

/** How many keys of a caller are kept, counted no further than `max`. */
export async function countKeys(manager: EntityManager, caller: string, max: number): Promise<number> {
  const [found] = await manager.execute<{ n: number }[]>(
    'select count(*)::integer as n from (select 1 from idempotent_calls where caller = ? limit ?) c',
    [caller, max],
  );
  return found?.n ?? 0;
}

const unlessTaken = `
on conflict (caller, method, key) do update
  set request_hash = excluded.request_hash, answer = null, expires_at = excluded.expires_at
  where c.expires_at < now()
returning 1`;

function findFirst(caller: string, method: string, key: string): string {
  return `select request_hash as "requestHash", answer from idempotent_calls
    where caller = ${caller} and method = ${method} and key = ${key} and expires_at >= now()`;
}
