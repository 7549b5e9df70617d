// An event type of the catalogue: its names, and what the service knows of it.
import { PART } from './subscription.ts';
import type { JsonObject } from './payload.ts';

/** What the service does with a payload that the schema of its type does not allow. */
export const payloadValidations = ['off', 'warn', 'strict'] as const;
export type PayloadValidation = (typeof payloadValidations)[number];

export const eventPriorities = ['high', 'normal', 'low'] as const;
export type EventPriority = (typeof eventPriorities)[number];

export interface EventType {
  readonly name: string;
  /** What has happened when it is sent. */
  readonly description: string;
  /** What `data` looks like, where that was said. */
  readonly sample: JsonObject | null;
  /** The JSON Schema of `data`, draft 2020-12; null: any payload will do. */
  readonly schema: JsonObject | null;
  /** How many schemas it has had; 0 without one. */
  readonly schemaVersion: number;
  readonly validation: PayloadValidation;
  readonly defaultPriority: EventPriority;
  readonly isDeprecated: boolean;
  /** Whether the service has it from the start. */
  readonly isDocumented: boolean;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** Five parts of two at least: what is before the first dot groups types, and a name stays one that people can read. */
const NAME = new RegExp(`^${PART}(?:\\.${PART}){1,4}$`);
/** Those of the service's own events, as in `webhook.ping`. */
const RESERVED_PREFIX = 'webhook.';

/** What is wrong with the name of a new type; null: nothing. */
export function faultOfName(name: string): string | null {
  if (!NAME.test(name))
    return 'must be two to five parts, joined by dots, each a lower-case letter followed by lower-case letters, digits and underscores';
  return name.startsWith(RESERVED_PREFIX) ? `must not begin with ${RESERVED_PREFIX}, which is the service's own` : null;
}

/** What an event keeps of the schema of its type; null: the type has none. */
export function versionOf({ schemaVersion }: Pick<EventType, 'schemaVersion'>): number | null {
  return schemaVersion === 0 ? null : schemaVersion;
}
