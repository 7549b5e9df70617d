// Key pairs of the service for Ed25519 signatures, and which webhooks asked for them.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128192600_sign_with_keys_of_the_service extends Migration {
  override up(): void {
    for (const statement of statements) this.addSql(statement);
  }

  override down(): void {
    this.addSql('alter table webhook_endpoints drop column signs_ed25519');
    this.addSql('drop table service_keys');
  }
}

const statements = [
  `create table service_keys (
     id varchar(64) primary key,
     public_key varchar(64) not null,
     private_key text not null,
     created_at timestamptz not null default now(),
     signs_until timestamptz
   )`,
  `comment on column service_keys.public_key is 'Its 32 bytes in base64'`,
  `comment on column service_keys.private_key is 'Sealed under WEBHOOK_SECRET_KEYS'`,
  `comment on column service_keys.signs_until is 'When it stops signing; null while no newer key has taken over'`,
  // Processes that make the first key at the same time make one.
  'create unique index service_keys_newest on service_keys ((true)) where signs_until is null',
  'alter table webhook_endpoints add column signs_ed25519 boolean not null default false',
  `comment on column webhook_endpoints.signs_ed25519 is 'Whether its requests carry an Ed25519 signature beside the HMAC'`,
];
