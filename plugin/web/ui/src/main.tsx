import { render } from 'preact';
import { Application } from './application';
import { fetchViewer } from './pages/study/images';
import { placeOf } from './router';
import './theme.css';

// The largest file by far: it comes while the server is still asked who is there. `Images` tells if
// it does not
if (placeOf(location.pathname).page === 'study') void fetchViewer().catch(() => undefined);
const place = document.getElementById('app');
if (place) render(<Application />, place);
