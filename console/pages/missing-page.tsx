// An address that leads nowhere.
import { PageHead } from '../components/page-head.tsx';
import { Empty } from '../components/states.tsx';

export function MissingPage() {
  return (
    <>
      <PageHead title="Nothing here" />
      <Empty title="This address leads nowhere">
        <a href="/">Go to the overview</a>
      </Empty>
    </>
  );
}
