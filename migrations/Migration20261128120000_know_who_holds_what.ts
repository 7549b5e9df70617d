// A table of the processes that hold deliveries, by the number that their leases carry.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128120000_know_who_holds_what extends Migration {
  override up(): void {
    this.addSql(`create table holders (
      id text primary key,
      number smallint not null unique check (number between 1 and 999),
      locked_at timestamptz not null,
      ended_at timestamptz
    )`);
    this.addSql(`comment on table holders is
      'Processes that hold deliveries; each has a session that holds an advisory lock under its number'`);
    this.addSql(`comment on column holders.number is
      'What the leases of this process carry: the microseconds of leased_until behind its milliseconds, and the leases in Redis'`);
    this.addSql(`comment on column holders.locked_at is 'When its present session took the lock'`);
    this.addSql(`comment on column holders.ended_at is
      'Since when others may have what it held: from then on it records no failed attempt'`);
    this.addSql('create sequence holder_numbers as smallint minvalue 1 maxvalue 999 cycle');
  }

  override down(): void {
    this.addSql('drop sequence holder_numbers');
    this.addSql('drop table holders');
  }
}
