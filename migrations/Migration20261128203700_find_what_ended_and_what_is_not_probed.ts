// Finds releases that ended long ago, and webhooks that were stopped for failing by a process that knows no probes.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128203700_find_what_ended_and_what_is_not_probed extends Migration {
  override up(): void {
    this.addSql('create index releases_ended on releases (ended_at) where ended_at is not null');
    this.addSql(
      `create index webhook_endpoints_unprobed on webhook_endpoints (id) where next_probe_at is null and deleted_at is null
         and (disabled_reason = 'failing' or paused_reason = 'failing')`,
    );
  }

  override down(): void {
    this.addSql('drop index webhook_endpoints_unprobed');
    this.addSql('drop index releases_ended');
  }
}
