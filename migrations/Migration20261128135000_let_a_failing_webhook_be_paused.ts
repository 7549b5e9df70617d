// What becomes of a webhook that fails for too long: it is disabled, or paused where its owner says so.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128135000_let_a_failing_webhook_be_paused extends Migration {
  override up(): void {
    this.addSql(`alter table webhook_endpoints
      add column on_failing varchar(10) not null default 'disable' check (on_failing in ('disable', 'hold')),
      add column paused_reason varchar(20),
      add column paused_at timestamptz`);
    this.addSql(
      `comment on column webhook_endpoints.on_failing is 'Once it has failed for too long: disable it and cancel what waits, or hold that'`,
    );
    this.addSql(`comment on column webhook_endpoints.paused_reason is 'Why the service paused it; null when it did not'`);
  }

  override down(): void {
    this.addSql('alter table webhook_endpoints drop column on_failing, drop column paused_reason, drop column paused_at');
  }
}
