// Client certificates that webhooks show to their receivers.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128201300_show_a_client_certificate extends Migration {
  override up(): void {
    this.addSql(
      `alter table webhook_endpoints add column client_certificate text, add column client_key text,
         add column client_certificate_noticed_at timestamptz`,
    );
    this.addSql(`comment on column webhook_endpoints.client_certificate is 'PEM, with the chain behind it'`);
    this.addSql(`comment on column webhook_endpoints.client_key is 'PEM, sealed under WEBHOOK_SECRET_KEYS'`);
    this.addSql(
      `comment on column webhook_endpoints.client_certificate_noticed_at is 'When its owner was notified that it ends soon; null: not yet'`,
    );
  }

  override down(): void {
    this.addSql(
      `alter table webhook_endpoints drop column client_certificate, drop column client_key,
         drop column client_certificate_noticed_at`,
    );
  }
}
