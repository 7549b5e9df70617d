// A table of calls that were made with an idempotency key, so that a repeated one answers what the first one answered.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128123100_keep_answers_of_calls extends Migration {
  override up(): void {
    this.addSql(`create table idempotent_calls (
      caller varchar(255) collate "C" not null,
      method varchar(100) collate "C" not null,
      key varchar(255) collate "C" not null,
      request_hash varchar(64),
      answer text,
      expires_at timestamptz not null,
      primary key (caller, method, key)
    )`);
    this.addSql('create index idempotent_calls_expiry on idempotent_calls (expires_at)');
    this.addSql(`comment on column idempotent_calls.answer is
      'Sealed: the hash of the request and the first answer. Null while the call is under way, and of a batch, whose events have keys'`);
    this.addSql(`comment on column idempotent_calls.request_hash is
      'Null once there is an answer: a request may hold secrets, and a hash of few unknown letters can be guessed'`);
  }

  override down(): void {
    this.addSql('drop table idempotent_calls');
  }
}
