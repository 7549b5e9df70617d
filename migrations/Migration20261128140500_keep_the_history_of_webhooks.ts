// What was changed about a webhook, by whom and when.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128140500_keep_the_history_of_webhooks extends Migration {
  override up(): void {
    this.addSql(`create table webhook_changes (
      no bigint generated always as identity primary key,
      webhook_id varchar(64) collate "C" not null,
      at timestamptz not null default clock_timestamp(),
      by_user varchar(255),
      action varchar(20) not null,
      fields jsonb not null default '[]',
      reason varchar(40)
    )`);
    this.addSql(`comment on table webhook_changes is
      'The history of webhooks, each entry written in the transaction of the change; retention of deliveries leaves it alone'`);
    this.addSql(`comment on column webhook_changes.by_user is 'Null: the service did it itself'`);
    this.addSql(`comment on column webhook_changes.fields is 'What differs since: [{"field", "old", "new"}], without secrets'`);
    this.addSql('create index webhook_changes_of_webhook on webhook_changes (webhook_id, no)');
    this.addSql('create index webhook_changes_at on webhook_changes (at)');
  }

  override down(): void {
    this.addSql('drop table webhook_changes');
  }
}
