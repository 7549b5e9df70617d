// The key pairs that the service signs with: read, made, replaced, and sealed again. Of those that have stopped signing nothing is kept.
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';

export interface ServiceKeyRow {
  readonly id: string;
  /** 32 bytes in base64. */
  readonly publicKey: string;
  readonly sealedPrivateKey: string;
  readonly createdAt: Date;
  /** When it stops signing; null while no newer key has taken over. */
  readonly signsUntil: Date | null;
}

export type NewServiceKey = Pick<ServiceKeyRow, 'id' | 'publicKey' | 'sealedPrivateKey'>;

const signing = `
select id, public_key as "publicKey", private_key as "sealedPrivateKey", created_at as "createdAt", signs_until as "signsUntil"
from service_keys where signs_until is null or signs_until > now() order by signs_until desc nulls first`;

/** Those that sign, newest first. */
export async function listServiceKeys(pool: Pool): Promise<ServiceKeyRow[]> {
  return (await pool.query<ServiceKeyRow>(signing)).rows;
}

/** The same; no key is made, replaced or taken out of use until the transaction ends. */
export async function lockServiceKeys(transaction: EntityManager): Promise<ServiceKeyRow[]> {
  await transaction.execute('lock table service_keys in share row exclusive mode');
  return signingIn(transaction);
}

// The object mapper reads times as text.
async function signingIn(transaction: EntityManager): Promise<ServiceKeyRow[]> {
  const rows = await transaction.execute<ServiceKeyRow[]>(signing);
  return rows.map((row) => ({
    ...row,
    createdAt: new Date(row.createdAt),
    signsUntil: row.signsUntil === null ? null : new Date(row.signsUntil),
  }));
}

/** Changes nothing where there is a newest key already. */
export async function insertFirstServiceKey(pool: Pool, key: NewServiceKey): Promise<void> {
  await pool.query(
    `insert into service_keys (id, public_key, private_key) values ($1, $2, $3)
     on conflict ((true)) where signs_until is null do nothing`,
    [key.id, key.publicKey, key.sealedPrivateKey],
  );
}

/** A new key signs from now on; what signed before ends with the overlap at the latest. Returns those that sign, newest first. */
export async function replaceServiceKey(
  transaction: EntityManager,
  key: NewServiceKey,
  overlapHours: number,
): Promise<ServiceKeyRow[]> {
  await transaction.execute('update service_keys set signs_until = least(signs_until, now() + make_interval(hours => ?))', [
    overlapHours,
  ]);
  await transaction.execute('delete from service_keys where signs_until <= now()');
  await transaction.execute('insert into service_keys (id, public_key, private_key) values (?, ?, ?)', [
    key.id,
    key.publicKey,
    key.sealedPrivateKey,
  ]);
  return signingIn(transaction);
}

/** False when the key is no longer sealed as it was read. */
export async function replaceSealedServiceKey(pool: Pool, read: ServiceKeyRow, sealedPrivateKey: string): Promise<boolean> {
  const { rowCount } = await pool.query('update service_keys set private_key = $2 where id = $1 and private_key = $3', [
    read.id,
    sealedPrivateKey,
    read.sealedPrivateKey,
  ]);
  return rowCount === 1;
}
