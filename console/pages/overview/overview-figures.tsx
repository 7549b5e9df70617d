// The overview's headline numbers.
import type { Overview } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { arrivalFigures } from '../../components/arrival-figures.tsx';
import { Figures } from '../../components/figures.tsx';
import { count, plural } from '../../format/number.ts';

export function OverviewFigures({ overview }: { overview: Overview }) {
  const { counts, webhooks } = overview;
  const total = webhooks?.total ?? 0;
  const troubled = (webhooks?.failing ?? 0) + (webhooks?.disabled ?? 0);
  return (
    <Figures
      items={[
        ...(counts === undefined ? [] : arrivalFigures({ ...overview, counts }, `to ${plural(total, 'webhook')}`)),
        {
          label: 'In trouble now',
          value: count(troubled),
          note: `of ${plural(total, 'webhook')}`,
          tone: troubled === 0 ? undefined : 'bad',
        },
      ]}
    />
  );
}
