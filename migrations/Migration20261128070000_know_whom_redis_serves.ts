// A table of the processes that use a Redis, in which each says whether Redis serves it.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128070000_know_whom_redis_serves extends Migration {
  override up(): void {
    this.addSql(`create table processes (
      id text primary key,
      seen_at timestamptz not null,
      claims boolean not null,
      is_served boolean not null,
      claimed_at timestamptz not null
    )`);
    this.addSql(`comment on table processes is
      'Processes that use a Redis; each writes its row every two seconds'`);
    this.addSql(`comment on column processes.claims is
      'Whether this process sends deliveries; one that does not only says whether it can tell Redis what it commits'`);
    this.addSql(`comment on column processes.is_served is
      'Whether Redis serves this process: while one that claims is served, another that cannot reach Redis leaves what is due to it'`);
    this.addSql(`comment on column processes.claimed_at is
      'When Redis last answered a claim of this process: what became due later, it cannot hold'`);
  }

  override down(): void {
    this.addSql('drop table processes');
  }
}
