// Field masks: what of a payload the receiver of a webhook gets.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128233900_send_some_fields_alone extends Migration {
  override up(): void {
    this.addSql(`alter table webhook_endpoints add column fields text[] not null default '{}'`);
    this.addSql(
      `comment on column webhook_endpoints.fields is 'Paths of what its receiver gets of a payload; none: the whole payload'`,
    );
  }

  override down(): void {
    this.addSql('alter table webhook_endpoints drop column fields');
  }
}
