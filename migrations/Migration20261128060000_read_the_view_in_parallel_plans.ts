// The documented view in parallel plans: PostgreSQL starts no subtransaction there, which is what an exception block needs.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128060000_read_the_view_in_parallel_plans extends Migration {
  override up(): void {
    // From 16 on PostgreSQL can ask whether a text is valid without catching an error. Before, the function says that it is not safe,
    // and a query of the view is planned for one process. Not a `case` in SQL: the planner may evaluate its branches beforehand.
    this.addSql(
      `do $migration$
       begin
         if current_setting('server_version_num')::integer >= 160000 then
           execute $statement$
             create or replace function jsonb_or_null(document text) returns jsonb language plpgsql stable strict parallel safe as $$
             begin
               if pg_input_is_valid(document, 'jsonb') then return document::jsonb; end if;
               return null;
             end $$
           $statement$;
         else
           alter function jsonb_or_null(text) parallel unsafe;
         end if;
       end $migration$`,
    );
  }

  override down(): void {
    this.addSql(
      `create or replace function jsonb_or_null(document text) returns jsonb language plpgsql immutable strict parallel safe as $$
       begin
         return document::jsonb;
       exception when others then
         return null;
       end $$`,
    );
  }
}
