/** Which page an address shows. Addresses are paths: the server answers each with index.html. */
import { useEffect, useState } from 'preact/hooks';

export type Place =
  | { page: 'worklist' }
  | { page: 'sign-in' }
  | { page: 'study'; study: string }
  | { page: 'admin'; admin: string }
  | { page: 'unknown' };

/** Read a path; an identifier in it is decoded. */
export function placeOf(path: string): Place {
  const [first = '', second = '', ...more] = path.replace(/^\/|\/$/g, '').split('/');
  if (more.length > 0) return { page: 'unknown' };
  if (first === '' && second === '') return { page: 'worklist' };
  if (first === 'sign-in' && second === '') return { page: 'sign-in' };
  if (first === 'study' && second !== '') return { page: 'study', study: decoded(second) };
  if (first === 'admin') return { page: 'admin', admin: decoded(second) };
  return { page: 'unknown' };
}

/** The address of a page. */
export function pathOf(place: Place): string {
  switch (place.page) {
    case 'sign-in':
      return '/sign-in';
    case 'study':
      return `/study/${encodeURIComponent(place.study)}`;
    case 'admin':
      return `/admin/${encodeURIComponent(place.admin)}`;
    default:
      return '/';
  }
}

/** Go to another page of the application without loading it anew. */
export function go(path: string): void {
  history.pushState(null, '', path);
  dispatchEvent(new PopStateEvent('popstate'));
}

/** The place of the present address; follows links, `go`, and the browser's back and forward. */
export function usePlace(): Place {
  const [path, setPath] = useState(location.pathname);
  useEffect(() => {
    const follow = (): void => setPath(location.pathname);
    addEventListener('popstate', follow);
    addEventListener('click', followLink);
    return () => {
      removeEventListener('popstate', follow);
      removeEventListener('click', followLink);
    };
  }, []);
  return placeOf(path);
}

/** A plain click on a link of the application changes the place; all others are the browser's. */
function followLink(event: MouseEvent): void {
  const link = event.target instanceof Element ? event.target.closest('a') : null;
  const modified = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
  if (!link || modified || event.button !== 0 || event.defaultPrevented) return;
  if (link.target || link.origin !== location.origin || link.hasAttribute('download')) return;
  if (/^\/(api|dicom-web)\//.test(link.pathname)) return;
  event.preventDefault();
  go(link.pathname + link.search);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
