// What a check that is not well means, in a sentence for the operator who reads the probe.
import type { DatabaseResource } from '../persistence/database-shortage.ts';
import type { CheckState } from './health.ts';

const SHORT_OF: Readonly<Record<DatabaseResource, string>> = {
  disk: 'PostgreSQL has no room left on its disk: publishes are refused and deliveries wait. Free some; nothing has to be restarted.',
  memory: 'PostgreSQL is out of memory: what it refuses is tried again.',
  connections: 'PostgreSQL has no connection left: raise max_connections, run fewer processes, or put a pooler in between.',
};

const SENTENCES: Readonly<Record<string, string>> = {
  redis: 'Redis does not serve the schedule; PostgreSQL does.',
  worker: 'This process has not been able to ask for work for 30 s.',
  clock: 'The clock of this process and that of PostgreSQL are more than a minute apart.',
  sockets: 'Sockets, descriptors, memory or ports of this machine run short: requests to receivers wait.',
  secret_keys: 'Deliveries wait for a key of secrets that WEBHOOK_SECRET_KEYS lacks.',
};

/** @param lacking what PostgreSQL is short of, when that is what ails the database */
export function problemOf(check: string, state: CheckState, lacking: DatabaseResource | null): string {
  if (check !== 'database') return SENTENCES[check] ?? `${check} is ${state}.`;
  if (state === 'read_only')
    return 'PostgreSQL takes no writes: it is a standby, or closed with default_transaction_read_only.';
  return state === 'degraded' && lacking !== null ? SHORT_OF[lacking] : 'PostgreSQL does not answer.';
}
