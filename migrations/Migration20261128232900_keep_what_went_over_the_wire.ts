// An attempt keeps the headers of both sides, the address and the version of TLS. Null for all before it, and then without room.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128232900_keep_what_went_over_the_wire extends Migration {
  override up(): void {
    this.addSql(
      `alter table attempts add column request_headers text, add column response_headers text, add column remote_address varchar(45),
        add column tls_version varchar(20)`,
    );
  }

  override down(): void {
    this.addSql(
      `alter table attempts drop column request_headers, drop column response_headers, drop column remote_address, drop column tls_version`,
    );
  }
}
