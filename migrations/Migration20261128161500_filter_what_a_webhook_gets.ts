// A webhook may have a filter: a condition on payloads, evaluated while an event is fanned out.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128161500_filter_what_a_webhook_gets extends Migration {
  override up(): void {
    // The text as its owner wrote it, and beside it what PostgreSQL evaluates: parsed once, when the webhook is written.
    this.addSql(`alter table webhook_endpoints
      add column filter text,
      add column filter_path jsonpath generated always as (filter::jsonpath) stored`);
    this.addSql(
      `comment on column webhook_endpoints.filter is 'An SQL/JSON path: payloads for which it is true become deliveries; null: every payload does'`,
    );
    // Parallel unsafe, as what begins a subtransaction is.
    this.addSql(`create function payload_document(data text) returns jsonb language plpgsql immutable strict as $$
      begin
        return data::jsonb;
      exception when others then
        return null;
      end
    $$`);
    this.addSql(
      `comment on function payload_document is 'A payload as filters see it; null for one that jsonb cannot hold, such as a text with the character U+0000'`,
    );
  }

  override down(): void {
    this.addSql('alter table webhook_endpoints drop column filter_path, drop column filter');
    this.addSql('drop function payload_document');
  }
}
