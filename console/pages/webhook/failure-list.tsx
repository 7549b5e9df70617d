// Why deliveries to this webhook failed lately, most frequent cause first, with what to do about it.
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { useResource } from '../../api/resource.ts';
import { Moment } from '../../components/moment.tsx';
import { Loaded } from '../../components/states.tsx';
import { count } from '../../format/number.ts';
import type { Range } from '../../components/range.tsx';
import { readFailureGroups } from './failure-groups.ts';

export function FailureList({ webhookId, range, version }: { webhookId: string; range: Range; version: number }) {
  const groups = useResource(
    `${webhookId} ${range.key}`,
    (signal) => readFailureGroups(webhookId, timestampFromMs(Date.now() - range.spanMs), signal),
    version,
  );
  return (
    <section class="panel" aria-labelledby="failures">
      <div class="panel-head">
        <h2 id="failures">Failures by cause</h2>
        {groups.data?.sampled === true && <span class="hint">of the latest hundred</span>}
      </div>
      <Loaded from={groups} lines={3}>
        {(data) =>
          data.groups.length === 0 ? (
            <p class="quiet-note">Nothing failed in this time.</p>
          ) : (
            <ul class="failures">
              {data.groups.map((group) => (
                <li key={group.cause.key}>
                  <b class="failure-count">{count(group.failed + group.retrying)}</b>
                  <div>
                    <p class="failure-cause">{group.cause.label}</p>
                    {group.cause.advice !== '' && <p class="hint">{group.cause.advice}</p>}
                  </div>
                  <p class="failure-last">
                    {group.failed > 0 && <span class="tone-failed">{count(group.failed)} given up</span>}
                    {group.retrying > 0 && <span class="tone-retrying">{count(group.retrying)} retrying</span>}
                    <a href={`/deliveries/${group.latest.id}`}>
                      last <Moment at={group.lastSeen} />
                    </a>
                  </p>
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
    </section>
  );
}
