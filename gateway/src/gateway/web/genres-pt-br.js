// TMDB's genres in Portuguese, as TMDB itself names them there. The API has their English names only; one that is not
// here (a new or renamed genre) is shown as the API names it.

export const genres = {
  Action: "Ação",
  Adventure: "Aventura",
  Animation: "Animação",
  Comedy: "Comédia",
  Crime: "Crime",
  Documentary: "Documentário",
  Drama: "Drama",
  Family: "Família",
  Fantasy: "Fantasia",
  History: "História",
  Horror: "Terror",
  Music: "Música",
  Mystery: "Mistério",
  Romance: "Romance",
  "Science Fiction": "Ficção científica",
  "TV Movie": "Cinema TV",
  Thriller: "Thriller",
  War: "Guerra",
  Western: "Faroeste",
};
