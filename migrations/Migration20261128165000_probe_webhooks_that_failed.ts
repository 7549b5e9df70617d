// When a webhook that the service stopped for failing is probed next.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128165000_probe_webhooks_that_failed extends Migration {
  override up(): void {
    this.addSql('alter table webhook_endpoints add column next_probe_at timestamptz');
    this.addSql(
      `comment on column webhook_endpoints.next_probe_at is 'When it is probed, because the service stopped it for failing; null: it is not'`,
    );
    this.addSql('create index webhook_endpoints_probes on webhook_endpoints (next_probe_at) where next_probe_at is not null');
  }

  override down(): void {
    this.addSql('drop index webhook_endpoints_probes');
    this.addSql('alter table webhook_endpoints drop column next_probe_at');
  }
}
