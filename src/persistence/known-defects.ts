// Defects of PostgreSQL that can hit the service and that only an update of the server mends.
import type { Pool } from 'pg';
import type { Logger } from '../telemetry/log.ts';

const PRUNING_AFTER_RECHECK = { from: 180_000, below: 180_006 };

/** What is known against a server of this version (`server_version_num`), and what to do; null: nothing. */
export function defectOf(version: number): string | null {
  if (version < PRUNING_AFTER_RECHECK.from || version >= PRUNING_AFTER_RECHECK.below) return null;
  return 'PostgreSQL 18.0 to 18.5 can crash, with all its sessions, when two of them change one delivery at once (it prunes partitions with what a recheck has freed; mended in October 2026): update it to 18.6 or later';
}

/** Logs one warning at start. */
export async function warnOfDefects(pool: Pool, log: Logger): Promise<void> {
  const { rows } = await pool.query<{ version: number }>(`select current_setting('server_version_num')::integer as version`);
  const defect = defectOf(rows[0]?.version ?? 0);
  if (defect !== null) log.warn({ store: 'database' }, defect);
}
