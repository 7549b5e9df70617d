// Asks before a page is left on which something was typed that is not saved.
import { useLayoutEffect, useState } from 'preact/hooks';
import { useAction } from '../api/action.ts';
import { guardLeaving } from '../router.ts';
import { ConfirmDialog } from './dialog.tsx';

export function Unsaved({ isDirty }: { isDirty: boolean }) {
  const [goOn, setGoOn] = useState<{ readonly run: () => void } | null>(null);
  useLayoutEffect(() => {
    if (!isDirty) return;
    guardLeaving((run) => setGoOn({ run }));
    return () => guardLeaving(null);
  }, [isDirty]);
  const leave = useAction(async () => goOn?.run());
  if (goOn === null) return null;
  return (
    <ConfirmDialog
      title="Leave without saving?"
      confirm="Leave"
      cancel="Stay"
      dangerous
      action={leave}
      onClose={() => setGoOn(null)}
    >
      <p>What you typed here is lost.</p>
    </ConfirmDialog>
  );
}
