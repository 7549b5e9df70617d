// Holds an embedded PostgreSQL until SIGTERM, as the service does: a process that the test can kill.
import { startEmbeddedPostgres } from '../../src/embedded/embedded-postgres.ts';

try {
  const postgres = await startEmbeddedPostgres(process.argv[2] ?? '');
  process.once('SIGTERM', () => void postgres.stop().then(() => process.exit(0)));
  console.log(JSON.stringify(postgres.config));
} catch (error) {
  console.log(String(error));
  process.exit(1);
}
