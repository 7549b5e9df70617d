// Access tokens that webhooks get from the token servers of their receivers.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128232800_ask_for_access_tokens extends Migration {
  override up(): void {
    this.addSql('alter table webhook_endpoints add column oauth jsonb, add column oauth_secret text');
    this.addSql(
      `comment on column webhook_endpoints.oauth is 'token_url, client_id, scope and audience of its client at the token server'`,
    );
    this.addSql(
      `comment on column webhook_endpoints.oauth_secret is 'The secret of that client, sealed under WEBHOOK_SECRET_KEYS'`,
    );
  }

  override down(): void {
    this.addSql('alter table webhook_endpoints drop column oauth, drop column oauth_secret');
  }
}
