// What PostgreSQL itself runs short of. It still answers a select then, so only the statements that it refuses show it.
import { sqlState } from './store-errors.ts';

export type DatabaseResource = 'disk' | 'memory' | 'connections';

const resources = new Map<string | undefined, DatabaseResource>([
  ['53100', 'disk'],
  ['53200', 'memory'],
  ['53300', 'connections'],
]);

/**
 * ms. A shortage counts as over when nothing was refused for so long. While anything is to be written, outcomes are tried again four times
 * a second, and publishers are asked to come back after two.
 */
const OVER_AFTER_MS = 10_000;

/** What a statement, or a connection, was refused for want of; null: it failed for another reason. */
export function lackingResource(error: unknown): DatabaseResource | null {
  return resources.get(sqlState(error)) ?? null;
}

/** What PostgreSQL lacked of late, as far as this process has seen. */
export class DatabaseShortage {
  #resource: DatabaseResource | null = null;
  #refusedAt = Number.NEGATIVE_INFINITY;

  /** Called with each refusal of PostgreSQL that any of the pools gets. */
  note(resource: DatabaseResource): void {
    this.#resource = resource;
    this.#refusedAt = performance.now();
  }

  /** Null: nothing that this process has noticed. */
  get resource(): DatabaseResource | null {
    return performance.now() - this.#refusedAt < OVER_AFTER_MS ? this.#resource : null;
  }
}
