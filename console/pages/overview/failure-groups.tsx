// What fails across webhooks, by host and cause: one receiver that is down is one line, however many webhooks lead to it.
import type { FailureGroup, Overview } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { seesEverybody } from '../../api/session.ts';
import { Moment } from '../../components/moment.tsx';
import { causeOfKey } from '../../format/cause.ts';
import { count, plural } from '../../format/number.ts';
import { shortened } from '../../format/shortened.ts';
import { link } from '../../router.ts';

/** What comes after these is rare beside them. */
const SHOWN = 8;
/** Characters of a host that one line has room for. */
const MAX_HOST = 40;

export function FailureGroups({ overview }: { overview: Overview }) {
  if (overview.failures.length === 0) return null;
  return (
    <section class="panel" aria-labelledby="overview-failures">
      <div class="panel-head">
        <h2 id="overview-failures">Failures by host and cause</h2>
        <span class="hint">of the last 24 hours</span>
      </div>
      <Groups groups={overview.failures.slice(0, SHOWN)} />
      {overview.failures.length > SHOWN && (
        <details>
          <summary>Show {overview.failures.length - SHOWN} more</summary>
          <Groups groups={overview.failures.slice(SHOWN)} />
        </details>
      )}
    </section>
  );
}

function Groups({ groups }: { groups: readonly FailureGroup[] }) {
  return (
    <ul class="failures">
      {groups.map((group) => (
        <Group key={`${group.host} ${group.cause?.cause}`} group={group} />
      ))}
    </ul>
  );
}

function Group({ group: { host, cause, webhooks, users, failingSince } }: { group: FailureGroup }) {
  const { label, advice } = causeOfKey(cause?.cause ?? '');
  return (
    <li>
      <b class="failure-count" title={plural(cause?.deliveries ?? 0, 'delivery', 'deliveries')}>
        {count(cause?.deliveries ?? 0)}
      </b>
      <div>
        <p class="failure-cause">
          {label}: <a href={link('/webhooks', { q: host })}>{plural(webhooks, 'webhook')}</a> at{' '}
          <span title={host}>{shortened(host, MAX_HOST)}</span>
          {seesEverybody() && ` of ${plural(users, 'user')}`}
          {failingSince !== undefined && (
            <>
              , failing since <Moment at={failingSince} />
            </>
          )}
        </p>
        {advice !== '' && <p class="hint">{advice}</p>}
      </div>
    </li>
  );
}
