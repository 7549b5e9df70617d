// How far towards being stopped the owner of a failing webhook was told that it is.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128170500_remember_notices_of_failing extends Migration {
  override up(): void {
    this.addSql(`alter table webhook_endpoints
      add column failing_noticed smallint,
      add column failing_noticed_since timestamptz`);
    this.addSql(
      `comment on column webhook_endpoints.failing_noticed is 'Percent of the way to being stopped of which there was a notice'`,
    );
    this.addSql(
      `comment on column webhook_endpoints.failing_noticed_since is 'The failing_since that the notice was about; another one is another run of failures'`,
    );
  }

  override down(): void {
    this.addSql('alter table webhook_endpoints drop column failing_noticed, drop column failing_noticed_since');
  }
}
