"""Word lists that several tasks share."""

NAMES = (
    "Anna Ben Carla David Emma Felix Greta Hugo Ida Jonas Karim Lea Mia Noah Olga Paul Rosa Sam Tina Tom "
    "Yusuf Zoe Maria Lukas Nina Omar Priya Ravi Sofia Viktor"
).split()

CITIES = (
    "Berlin Hamburg Munich Bremen Leipzig Vienna Zurich Paris Lyon London Leeds Dublin Rome Milan Madrid "
    "Lisbon Porto Oslo Bergen Stockholm Helsinki Warsaw Prague Athens Tokyo Boston Chicago Toronto Sydney Cairo"
).split()

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
