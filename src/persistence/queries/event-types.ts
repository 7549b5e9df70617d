// The catalogue of event types, read as a whole whenever it has changed.
import type { Pool } from 'pg';
import type { EventType } from '../../domain/event-type.ts';

/** Grows with every change of the catalogue. */
export async function readCatalogueRevision(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ revision: number }>({
    name: 'read-catalogue-revision',
    text: 'select revision::float8 as revision from catalogue',
  });
  return rows[0]?.revision ?? 0;
}

/** Every type in the order in which they were added, and the revision that they are of: one statement sees one moment. */
export async function readEventTypes(pool: Pool): Promise<{ types: EventType[]; revision: number }> {
  const { rows } = await pool.query<EventType & { revision: number }>(statement);
  return { types: rows, revision: rows[0]?.revision ?? 0 };
}

const statement = `
select name, description, sample, schema, schema_version as "schemaVersion", validation, default_priority as "defaultPriority",
  is_deprecated as "isDeprecated", is_documented as "isDocumented", created_at as "createdAt", updated_at as "updatedAt",
  c.revision::float8 as revision
from event_types cross join catalogue c order by no`;
