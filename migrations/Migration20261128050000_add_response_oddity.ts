// An attempt says what of its response broke HTTP's grammar. Both columns are null for nearly every row, and then take no room.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128050000_add_response_oddity extends Migration {
  override up(): void {
    this.addSql('alter table deliveries add column response_oddity varchar(40)');
    this.addSql('alter table attempts add column response_oddity varchar(40)');
  }

  override down(): void {
    this.addSql('alter table attempts drop column response_oddity');
    this.addSql('alter table deliveries drop column response_oddity');
  }
}
