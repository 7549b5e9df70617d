// Event types are rows, webhooks subscribe to patterns of them, and events say which schema they were published under.
import { Migration } from '@mikro-orm/migrations';
import { eventTypes } from '../src/domain/event-types.ts';

export class Migration20261128131900_keep_event_types_as_rows extends Migration {
  override up(): void {
    for (const statement of statements) this.addSql(statement);
  }

  override down(): void {
    this.addSql('drop index webhook_endpoints_of_patterns');
    this.addSql('alter table webhook_endpoints drop column type_patterns');
    this.addSql('drop function type_patterns(text)');
    this.addSql('alter table events drop column schema_version');
    this.addSql('drop table event_types, catalogue');
  }
}

const text = (value: string): string => `'${value.replaceAll("'", "''")}'`;
const json = (value: object): string => text(JSON.stringify(value));

const statements = [
  // json, not jsonb: schemas and samples are shown as they were written.
  `create table event_types (
     name varchar(100) collate "C" primary key,
     no integer generated always as identity,
     description varchar(1000) not null,
     sample json,
     schema json,
     schema_version integer not null default 0 check ((schema_version = 0) = (schema is null)),
     validation varchar(10) not null default 'off' check (validation in ('off', 'warn', 'strict')),
     default_priority varchar(10) not null default 'normal' check (default_priority in ('high', 'normal', 'low')),
     is_deprecated boolean not null default false,
     is_documented boolean not null default false,
     created_at timestamptz not null default now(),
     updated_at timestamptz not null default now()
   )`,
  `comment on column event_types.no is 'The order of the list'`,

  // One row. Its lock is what makes changes of the catalogue come one after the other, so that the revision never skips one.
  `create table catalogue (is_one boolean primary key default true check (is_one), revision bigint not null default 1)`,
  `comment on table catalogue is 'Grows with every change of event_types: processes look at it, and read the types again when it has grown'`,
  'insert into catalogue default values',

  ...eventTypes.map(
    ({ name, description, sample, schema, defaultPriority }) =>
      `insert into event_types (name, description, sample, schema, schema_version, default_priority, is_documented)
       values (${text(name)}, ${text(description)}, ${json(sample)}, ${json(schema)}, 1, ${text(defaultPriority)}, true)`,
  ),

  'alter table events add column schema_version integer',
  `comment on column events.schema_version is 'The version of the schema of its type when it was published; null when the type had none'`,

  // \`order.*\` becomes the pattern of LIKE \`order.%\`. Null, not empty, for webhooks that name their types: they are in no index of patterns.
  `create function type_patterns(events text) returns text[] language sql immutable strict parallel safe as $$
     select nullif(array(
       select regexp_replace(replace(name, '_', '\\_'), '\\*$', '%')
       from jsonb_array_elements_text(events::jsonb) name where name like '%*'
     ), '{}')
   $$`,
  'alter table webhook_endpoints add column type_patterns text[] generated always as (type_patterns(events)) stored',
  `create index webhook_endpoints_of_patterns on webhook_endpoints (id)
     where is_active and deleted_at is null and type_patterns is not null`,
];
