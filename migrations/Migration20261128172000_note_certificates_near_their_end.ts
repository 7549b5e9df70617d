// When the certificate of a receiver ends, noted in passing where that is soon.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128172000_note_certificates_near_their_end extends Migration {
  override up(): void {
    this.addSql('alter table webhook_endpoints add column certificate_expires_at timestamptz');
    this.addSql(
      `comment on column webhook_endpoints.certificate_expires_at is 'When the certificate of its receiver ends, where that was near at the last handshake; else null'`,
    );
  }

  override down(): void {
    this.addSql('alter table webhook_endpoints drop column certificate_expires_at');
  }
}
